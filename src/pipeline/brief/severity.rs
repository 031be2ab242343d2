//! How much a hostile cluster matters: impact times confidence, in one table.
//!
//! Impact is what became of the faults and whom they may reach: [`Impact`] gathers counts, [`Impact::reach`] puts them on
//! four steps. Confidence is how far the points lie above the threshold that the SOC's budget of false alerts gave. Both
//! only ever raise the severity ([`TABLE`] rises along both), so that whoever does more is never told as less. That it
//! does not flap is the business of [`crate::pipeline::life`]: an open alert is raised, never lowered.

use crate::pipeline::alert::Severity;
use crate::pipeline::cell::{Cell, IDS_KEPT};
use crate::pipeline::enrich::{ScopeModel, ScopeTier};
use crate::pipeline::event::Id;
use crate::pipeline::event::{Millis, RecoveryOutcome};
use crate::pipeline::names::Names;
use crate::pipeline::sample::{KeyedCounts, KeyedSet};

/// Events from which on a cluster is wide: more than somebody who tries something out.
const EVENTS_WIDE: u64 = 50;
/// Addresses from which on a campaign counts as distributed.
const ADDRESSES_WIDE: u64 = 10;
/// Panic sites from which on it is no single bug that was found.
const SITES_WIDE: u64 = 3;
/// Events from which on others feel it, whatever became of the faults.
const EVENTS_FELT: u64 = 500;
/// Faults that were not recovered from which on their share is looked at: fewer are an accident.
const UNMENDED_MIN: u64 = 5;
/// One in this many faults not recovered is felt.
const UNMENDED_SHARE: u64 = 4;
/// Faults that took their instance along from which on it is no accident: instances go again and again.
const FATAL_GRAVE: u64 = 10;

/// Points above the threshold from which on a verdict is clear: 2.7 times the odds that the SOC bears.
const CLEAR_POINTS: f64 = 1.0;
/// The same from which on it is firm: 20 times these odds.
const FIRM_POINTS: f64 = 3.0;

/// How far a cluster reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A few contained faults.
    Slight,
    /// Many events, addresses or sites, or a token that may write.
    Wide,
    /// Others feel it: faults that were not recovered, very many events, or a token that may administer.
    Felt,
    /// Instances are lost again and again, or some among very many events.
    Grave,
}

/// How sure the judge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sureness {
    /// Less than [`CLEAR_POINTS`] above the threshold: it may be one of the false alerts of the budget.
    Fair,
    /// Clear.
    Clear,
    /// [`FIRM_POINTS`] above the threshold or more.
    Firm,
}

/// Severity by reach (rows) and sureness (columns).
///
/// A slight thing is worth a look, and a look today when it is certain: somebody is at the beginning of something. What
/// is wide is looked at today, at once when it is certain. What others feel is looked at at once, unless it is on the
/// line. A grave one wakes somebody, unless it is on the line: an outage has its own alarms, this one says that it is
/// meant.
const TABLE: [[Severity; 3]; 4] = {
    use Severity::{Critical, High, Low, Medium};
    [[Low, Low, Medium], [Medium, Medium, High], [Medium, High, High], [High, Critical, Critical]]
};

impl Sureness {
    /// By how many points the verdict lies above its threshold.
    pub fn of(margin: f64) -> Self {
        if margin >= FIRM_POINTS {
            Self::Firm
        } else if margin >= CLEAR_POINTS {
            Self::Clear
        } else {
            Self::Fair
        }
    }
}

/// The severity of a hostile cluster.
pub fn severity(reach: Reach, sureness: Sureness) -> Severity {
    let row = TABLE.get(reach as usize);
    row.and_then(|row| row.get(sureness as usize)).copied().unwrap_or(Severity::Critical)
}

/// What impact is read from: a portrait's outline, without the lists that only a told alert needs.
#[derive(Debug, Default)]
pub struct Impact {
    /// Events of the cluster.
    pub events: u64,
    /// Distinct panic sites of the cluster.
    pub sites: u64,
    /// Latest event of its summaries.
    pub last: Option<Millis>,
    ended: u64,
    degraded: u64,
    escaped: u64,
    fatal: u64,
    accepted: u64,
    addresses: KeyedSet<IDS_KEPT>,
    scopes: KeyedCounts<8>,
}

impl Impact {
    /// Adds a summary, but for its events: a cluster may hold a share of them.
    pub fn add(&mut self, summary: &Cell) {
        self.last = self.last.max(Some(summary.last));
        self.ended = self.ended.saturating_add(summary.recoveries.iter().fold(0, |sum, n| sum.saturating_add(*n)));
        self.degraded = self.degraded.saturating_add(summary.recovered(RecoveryOutcome::Degraded));
        for outcome in [RecoveryOutcome::Aborted, RecoveryOutcome::SuspectedAbort] {
            self.fatal = self.fatal.saturating_add(summary.recovered(outcome));
        }
        self.escaped = self.escaped.saturating_add(summary.recovered(RecoveryOutcome::Escaped));
        let [accepted, ..] = summary.token_validity;
        self.accepted = self.accepted.saturating_add(accepted);
        self.addresses.merge(&summary.addresses);
        self.scopes.merge(&summary.scopes);
    }

    /// How far it reaches. Tokens count where the service accepted one: by the widest scope among those that were shown.
    pub fn reach(&self, names: &Names, scopes: &ScopeModel) -> Reach {
        let lost = self.escaped.saturating_add(self.fatal);
        Effect {
            events: self.events,
            addresses: self.addresses.len_estimate(),
            sites: self.sites,
            ended: self.ended,
            unmended: self.degraded.saturating_add(lost),
            lost,
            fatal: self.fatal,
            tier: if self.accepted > 0 { self.tier(names, scopes) } else { ScopeTier::None },
        }
        .reach()
    }

    fn tier(&self, names: &Names, scopes: &ScopeModel) -> ScopeTier {
        let sets = self.scopes.iter().map(|(id, _)| names.text(Id(id)));
        // Sets are joined by one space, or by `; ` where a name has a space in it.
        let tier = |set: String| {
            let parts: Vec<&str> =
                if set.contains("; ") { set.split("; ").collect() } else { set.split(' ').collect() };
            parts.into_iter().filter(|name| !name.is_empty()).map(|name| scopes.tier(name)).max()
        };
        sets.filter_map(tier).max().unwrap_or_default()
    }
}

/// The counts that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effect {
    events: u64,
    addresses: u64,
    sites: u64,
    ended: u64,
    unmended: u64,
    lost: u64,
    fatal: u64,
    tier: ScopeTier,
}

impl Effect {
    fn reach(self) -> Reach {
        let share_unmended = self.unmended >= UNMENDED_MIN && self.unmended >= self.ended / UNMENDED_SHARE;
        if self.fatal >= FATAL_GRAVE || (self.lost > 0 && self.events >= EVENTS_FELT) {
            Reach::Grave
        } else if self.lost > 0 || self.events >= EVENTS_FELT || share_unmended || self.tier >= ScopeTier::Admin {
            Reach::Felt
        } else if self.events >= EVENTS_WIDE
            || self.addresses >= ADDRESSES_WIDE
            || self.sites >= SITES_WIDE
            || self.tier >= ScopeTier::Write
        {
            Reach::Wide
        } else {
            Reach::Slight
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::cell::testing::{event, key};
    use crate::pipeline::cell::text_id;

    const NOTHING: Effect =
        Effect { events: 1, addresses: 1, sites: 1, ended: 1, unmended: 0, lost: 0, fatal: 0, tier: ScopeTier::None };

    #[test]
    fn reach_rises_with_what_became_of_the_faults() {
        let check = |effect: Effect, expected| assert_eq!(effect.reach(), expected, "{effect:?}");
        check(NOTHING, Reach::Slight);
        check(Effect { events: 49, addresses: 9, sites: 2, ..NOTHING }, Reach::Slight);
        check(Effect { events: 50, ..NOTHING }, Reach::Wide);
        check(Effect { addresses: 10, ..NOTHING }, Reach::Wide);
        check(Effect { sites: 3, ..NOTHING }, Reach::Wide);
        check(Effect { tier: ScopeTier::Read, ..NOTHING }, Reach::Slight);
        check(Effect { tier: ScopeTier::Write, ..NOTHING }, Reach::Wide);
        check(Effect { tier: ScopeTier::Admin, ..NOTHING }, Reach::Felt);
        check(Effect { events: 500, ..NOTHING }, Reach::Felt);
        check(Effect { lost: 1, unmended: 1, ..NOTHING }, Reach::Felt);
        check(Effect { ended: 20, unmended: 5, ..NOTHING }, Reach::Felt);
        check(Effect { ended: 24, unmended: 5, ..NOTHING }, Reach::Slight);
        check(Effect { lost: 10, unmended: 10, ..NOTHING }, Reach::Felt);
        check(Effect { fatal: 10, lost: 10, unmended: 10, ..NOTHING }, Reach::Grave);
        check(Effect { lost: 1, unmended: 1, events: 500, ..NOTHING }, Reach::Grave);
    }

    #[test]
    fn the_table_says_what_its_words_say() {
        let check =
            |reach, margin, expected| assert_eq!(severity(reach, Sureness::of(margin)), expected, "{reach:?} {margin}");
        check(Reach::Slight, 0.0, Severity::Low);
        check(Reach::Slight, 3.0, Severity::Medium);
        check(Reach::Wide, 0.99, Severity::Medium);
        check(Reach::Wide, 3.0, Severity::High);
        check(Reach::Felt, 0.0, Severity::Medium);
        check(Reach::Felt, 1.0, Severity::High);
        check(Reach::Grave, -5.0, Severity::High);
        check(Reach::Grave, 1.0, Severity::Critical);
        check(Reach::Grave, f64::NAN, Severity::High);
    }

    #[test]
    fn a_token_counts_by_its_widest_scope_where_the_service_took_it() {
        let scopes = ScopeModel::builtin().unwrap();
        let check = |set: &str, valid, expected| {
            let mut seen = event(1, key(1, 1, 1, 1));
            let token = seen.token.get_or_insert_with(|| crate::pipeline::observation::TokenUse {
                id: None,
                valid: None,
                tier: ScopeTier::None,
                scopes: "".into(),
            });
            (token.valid, token.scopes) = (valid, set.into());
            seen.recovery = RecoveryOutcome::Recovered;
            let mut cell = Cell::default();
            cell.add(&seen);
            let mut names = Names::default();
            names.learn(text_id(seen.cell.tenant, set), set);
            let mut impact = Impact { events: 1, sites: 1, ..Impact::default() };
            impact.add(&cell);
            assert_eq!(impact.reach(&names, &scopes), expected, "{set}");
        };
        check("orders:read", Some(true), Reach::Slight);
        check("orders:read orders:write", Some(true), Reach::Wide);
        check("orders:read orders:write", Some(false), Reach::Slight);
        check("orders:read orders:write", None, Reach::Slight);
        check("admin", Some(true), Reach::Felt);
        check("", Some(true), Reach::Slight);
    }

    fn any_effect() -> impl Strategy<Value = Effect> {
        let tier = prop::sample::select(vec![
            ScopeTier::None,
            ScopeTier::Unknown,
            ScopeTier::Read,
            ScopeTier::Write,
            ScopeTier::Admin,
        ]);
        let counts = (0_u64..1_000, 0_u64..30, 0_u64..8, 0_u64..1_000, 0_u64..60, 0_u64..20, 0_u64..20);
        (counts, tier).prop_map(|((events, addresses, sites, ended, unmended, escaped, fatal), tier)| {
            let lost = escaped + fatal;
            let unmended = unmended + lost;
            Effect { events, addresses, sites, ended: ended.max(unmended), unmended, lost, fatal, tier }
        })
    }

    proptest! {
        #[test]
        fn more_impact_and_more_points_never_lower_the_severity(
            a in any_effect(), b in any_effect(), margin in -10.0..10.0_f64, more in 0.0..10.0_f64,
        ) {
            // The share of what was recovered is itself impact: it may fall and not rise.
            let worse = Effect {
                events: a.events.max(b.events),
                addresses: a.addresses.max(b.addresses),
                sites: a.sites.max(b.sites),
                ended: a.ended.min(b.ended.max(1)).max(1),
                unmended: a.unmended.max(b.unmended),
                lost: a.lost.max(b.lost),
                fatal: a.fatal.max(b.fatal),
                tier: a.tier.max(b.tier),
            };
            prop_assert!(worse.reach() >= a.reach());
            let told = |effect: Effect, margin| severity(effect.reach(), Sureness::of(margin));
            prop_assert!(told(worse, margin + more) >= told(a, margin));
        }
    }
}
