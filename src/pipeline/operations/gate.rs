//! The retry gate: may this request be sent again?
//!
//! Reads the method, whether there is an idempotency key, whether the route is declared idempotent, what the request had
//! changed before it panicked, and the [`Bucket`] of the panic's class; gives a [`Gate`] with its reason. A pure table of
//! five rows, in the order of [`gate()`]; costs a nanosecond.
//!
//! What is idempotent by its method is RFC 9110 §9.2.2: GET, HEAD, OPTIONS, TRACE, PUT and DELETE. A key makes any other
//! request repeatable as long as the same key goes with it (draft-ietf-httpapi-idempotency-key-header-07 §2).

use serde::{Deserialize, Serialize};

use super::tally::Counter;
use crate::pipeline::classify::Bucket;
use crate::pipeline::observation::Observation;

/// Whether a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// It may.
    Safe,
    /// It may, with the same idempotency key.
    SafeWithKey,
    /// Not before the request or the service has changed: unchanged it fails again.
    AfterFix,
    /// Not at all: it could do twice what must be done once, or only harm.
    Never,
}

impl Gate {
    /// Every word, the most permissive first.
    pub const ALL: [Self; 4] = [Self::Safe, Self::SafeWithKey, Self::AfterFix, Self::Never];

    /// `safe`, `safe_with_key`, `after_fix` or `never`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::SafeWithKey => "safe_with_key",
            Self::AfterFix => "after_fix",
            Self::Never => "never",
        }
    }

    /// The counter of this word.
    pub fn counter(self) -> Counter {
        match self {
            Self::Safe => Counter::GateSafe,
            Self::SafeWithKey => Counter::GateSafeWithKey,
            Self::AfterFix => Counter::GateAfterFix,
            Self::Never => Counter::GateNever,
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateReason {
    /// The class says that another attempt can only do harm.
    Harmful,
    /// The method is not idempotent, there is no key, and something had been changed.
    ChangedWithoutKey,
    /// The method is not idempotent, there is no key, and nobody says whether something had been changed.
    UnknownChangesWithoutKey,
    /// The class says that the same request fails again.
    FailsAgain,
    /// The method, or the route as declared, may be repeated, and the class may pass.
    Repeatable,
    /// The key makes it repeatable, and the class may pass.
    Keyed,
    /// Nothing had been changed, and the class may pass.
    Unchanged,
}

impl GateReason {
    /// Every reason, the strictest word first.
    pub const ALL: [Self; 7] = [
        Self::Harmful,
        Self::ChangedWithoutKey,
        Self::UnknownChangesWithoutKey,
        Self::FailsAgain,
        Self::Repeatable,
        Self::Keyed,
        Self::Unchanged,
    ];

    /// The word that it is a reason for.
    pub fn gate(self) -> Gate {
        match self {
            Self::Harmful | Self::ChangedWithoutKey | Self::UnknownChangesWithoutKey => Gate::Never,
            Self::FailsAgain => Gate::AfterFix,
            Self::Repeatable | Self::Unchanged => Gate::Safe,
            Self::Keyed => Gate::SafeWithKey,
        }
    }

    /// `harmful`, `changed_without_key`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Harmful => "harmful",
            Self::ChangedWithoutKey => "changed_without_key",
            Self::UnknownChangesWithoutKey => "unknown_changes_without_key",
            Self::FailsAgain => "fails_again",
            Self::Repeatable => "repeatable",
            Self::Keyed => "keyed",
            Self::Unchanged => "unchanged",
        }
    }

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Harmful => "another attempt at this kind of panic can only do harm",
            Self::ChangedWithoutKey => "something had been changed, and no key keeps it from being changed twice",
            Self::UnknownChangesWithoutKey => "nobody says whether something had been changed, and there is no key",
            Self::FailsAgain => "the same request fails again until it or the service changes",
            Self::Repeatable => "the method may be repeated, and this kind of panic may pass",
            Self::Keyed => "the same idempotency key makes it repeatable, and this kind of panic may pass",
            Self::Unchanged => "nothing had been changed before the panic, and this kind of panic may pass",
        }
    }
}

/// What the gate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateFacts {
    /// The method is idempotent, or the route is declared so.
    pub idempotent: bool,
    /// There is an idempotency key.
    pub keyed: bool,
    /// Changes before the panic; `None`: not told.
    pub n_side_effects: Option<u64>,
    /// What the class says.
    pub bucket: Bucket,
}

impl GateFacts {
    /// Those of an event.
    pub fn of(o: &Observation<'_>) -> Self {
        Self {
            idempotent: o.idempotent || is_idempotent(o.route.split(' ').next().unwrap_or_default()),
            keyed: o.idempotency.is_some(),
            n_side_effects: o.aftermath.n_side_effects,
            bucket: o.panic.bucket,
        }
    }
}

/// Whether a method is idempotent by RFC 9110 §9.2.2; a route without a method is not.
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// The word on a request, and why. The first that holds:
///
/// 1. the class can only do harm: never;
/// 2. not repeatable by method, declaration, key or for want of changes: never;
/// 3. the class fails again: after a fix;
/// 4. repeatable by method or declaration, or nothing was changed: safe;
/// 5. repeatable by its key: safe with the key.
pub fn gate(facts: GateFacts) -> (Gate, GateReason) {
    let GateFacts { idempotent, keyed, n_side_effects, bucket } = facts;
    if bucket == Bucket::NeverRetry {
        return (Gate::Never, GateReason::Harmful);
    }
    if !idempotent && !keyed {
        match n_side_effects {
            None => return (Gate::Never, GateReason::UnknownChangesWithoutKey),
            Some(1..) => return (Gate::Never, GateReason::ChangedWithoutKey),
            Some(0) => {}
        }
    }
    if bucket == Bucket::RetryAfterFix {
        return (Gate::AfterFix, GateReason::FailsAgain);
    }
    if idempotent {
        (Gate::Safe, GateReason::Repeatable)
    } else if n_side_effects == Some(0) {
        (Gate::Safe, GateReason::Unchanged)
    } else {
        (Gate::SafeWithKey, GateReason::Keyed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(idempotent: bool, keyed: bool, n_side_effects: Option<u64>, bucket: Bucket, expected: Gate) {
        let facts = GateFacts { idempotent, keyed, n_side_effects, bucket };
        assert_eq!(gate(facts).0, expected, "{facts:?}");
    }

    #[test]
    fn what_can_only_do_harm_is_never_sent_again() {
        check(true, true, Some(0), Bucket::NeverRetry, Gate::Never);
    }

    #[test]
    fn a_post_without_a_key_may_be_sent_again_only_when_nothing_was_changed() {
        check(false, false, None, Bucket::RetrySafe, Gate::Never);
        check(false, false, Some(2), Bucket::RetrySafe, Gate::Never);
        check(false, false, Some(0), Bucket::RetrySafe, Gate::Safe);
        check(false, false, None, Bucket::RetryAfterFix, Gate::Never);
    }

    #[test]
    fn a_key_makes_a_post_repeatable_and_a_get_needs_none() {
        check(false, true, Some(2), Bucket::RetrySafe, Gate::SafeWithKey);
        check(false, true, None, Bucket::IsolateReset, Gate::SafeWithKey);
        check(true, false, None, Bucket::IsolateReset, Gate::Safe);
        check(true, false, Some(3), Bucket::RetrySafe, Gate::Safe);
    }

    #[test]
    fn what_fails_again_waits_for_a_fix_however_repeatable() {
        check(true, false, None, Bucket::RetryAfterFix, Gate::AfterFix);
        check(false, true, Some(1), Bucket::RetryAfterFix, Gate::AfterFix);
    }

    #[test]
    fn a_reason_belongs_to_the_word_that_the_gate_gives_with_it() {
        let mut met = std::collections::BTreeSet::new();
        for bucket in [Bucket::RetrySafe, Bucket::RetryAfterFix, Bucket::NeverRetry, Bucket::IsolateReset] {
            for (idempotent, keyed) in [(false, false), (false, true), (true, false), (true, true)] {
                for n_side_effects in [None, Some(0), Some(3)] {
                    let (word, reason) = gate(GateFacts { idempotent, keyed, n_side_effects, bucket });
                    assert_eq!(reason.gate(), word);
                    met.insert(reason);
                }
            }
        }
        assert_eq!(met, GateReason::ALL.into());
    }

    #[test]
    fn a_declared_route_needs_no_key() {
        let mut o = crate::pipeline::cell::testing::event(1, crate::pipeline::cell::testing::key(1, 1, 1, 1));
        o.route = "POST /v1/quote".into();
        assert!(!GateFacts::of(&o).idempotent);
        o.idempotent = true;
        assert!(GateFacts::of(&o).idempotent);
    }

    #[test]
    fn methods_are_idempotent_as_the_rfc_says() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_idempotent(method), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "get", "", "QUEUE"] {
            assert!(!is_idempotent(method), "{method}");
        }
    }
}
