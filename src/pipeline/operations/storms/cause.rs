//! What a storm comes from: each possible cause with a score, the evidence for it in words, and the next thing to do.
//!
//! Pure: takes [`Facts`], gives [`Scored`] causes, ranked. A score is a share from 0 to 1, made of measured shares and
//! nothing else:
//!
//! | cause | score |
//! |---|---|
//! | hostile | share of the events whose cluster was held for hostile when they came |
//! | release | share of the release with the most events, if its first panic of all is at most [`FRESH_MILLIS`] older than the storm, 0.6 of it up to [`RECENT_MILLIS`], nothing beyond, and nothing where no other release was there before it; below 0.9 times how far the share exceeds the one that the release has in the rest of the service, of what it could exceed it |
//! | retry cascade | 1 − 1 / amplification, with amplification the events an original request |
//! | one customer | share of the busiest customer (a valid token, else a network prefix) |
//! | dependency | the largest of three shares (panics of the environment or of resources; consequences of earlier panics; the commonest class, times routes / 3 up to 1, and 0 on one route alone), times what the scores of release and customer leave |
//!
//! A cause is named from [`NAMED_AT`] on. Of several that are named the first of the table stands first, since the earlier
//! explains the later (who attacks is one customer too, a bad release also fails on many routes, its clients try again);
//! those that are not named follow by their score. Where none is named the cause is unknown, and nothing is guessed.
//! A storm is at least three times the usual, so a third of its events may be what always happens there: a share of 2/3
//! is what a single cause gives at the least, and half of the events is enough to name it.

use serde::{Deserialize, Serialize};

use crate::pipeline::event::Millis;
use crate::pipeline::sample::count_f64;

/// The score from which on a cause is named.
pub const NAMED_AT: f64 = 0.5;

/// How old a release may be when its storm begins: deployments are rolled out in minutes to an hour.
pub const FRESH_MILLIS: i64 = Millis::HOUR;

/// How old at most: a working day's deployment that fails in the evening.
pub const RECENT_MILLIS: i64 = 6 * Millis::HOUR;

/// What is left of the score of a release that is no longer fresh.
const RECENT_WEIGHT: f64 = 0.6;

/// Share from which on a release has as good as all of it: rolled out to everybody, or the only one that fails.
const ROLLED_OUT: f64 = 0.9;

/// Events elsewhere that are enough to compare with.
const ELSEWHERE_MIN: u64 = 20;

/// Routes from which on a fault is not one of a route.
const ROUTES_MANY: f64 = 3.0;

/// Where a storm comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody who is held for hostile.
    Hostile,
    /// A new release.
    Release,
    /// Clients that try again.
    RetryCascade,
    /// One customer.
    OneCustomer,
    /// Something that many routes depend on.
    Dependency,
    /// No evidence for any of them.
    Unknown,
}

impl Cause {
    /// Those that can be named, in their order.
    pub const NAMED: [Self; 5] =
        [Self::Hostile, Self::Release, Self::RetryCascade, Self::OneCustomer, Self::Dependency];

    /// `hostile`, `release`, `retry_cascade`, `one_customer`, `dependency` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostile => "hostile",
            Self::Release => "release",
            Self::RetryCascade => "retry_cascade",
            Self::OneCustomer => "one_customer",
            Self::Dependency => "dependency",
            Self::Unknown => "unknown",
        }
    }

    /// The next thing to do, with a command that exists.
    pub fn action(self) -> &'static str {
        match self {
            Self::Hostile => {
                "See who it is and why, and block or rate-limit them: panicsift report list --verdict hostile"
            }
            Self::Release => "Roll the release back, then find what it broke: panicsift report surfaces --release NAME",
            Self::RetryCascade => {
                "Have clients back off or stop retrying this route, and see what still fails: panicsift report list"
            }
            Self::OneCustomer => {
                "Limit or call the customer, whose cluster shows its input: panicsift report list, then report show"
            }
            Self::Dependency => {
                "Check what these routes share (configuration, database, locks): panicsift report surfaces --service NAME"
            }
            Self::Unknown => {
                "Nothing stands out: look at the newest clusters (panicsift report list), and call the route's owner"
            }
        }
    }
}

/// The release with the most events of a storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopRelease {
    /// Its name.
    pub name: String,
    /// Its events in the storm.
    pub events: u64,
    /// How much older than the storm its first panic is; negative if younger. `None`: no other release was there before
    /// it, as far as is known, so that it is not known to be new.
    pub age_millis: Option<i64>,
    /// Its events, and all events, that its service had elsewhere in the same time.
    pub elsewhere: (u64, u64),
}

/// What causes are scored by: counts of the storm's events, without those of announced tests.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Events.
    pub events: u64,
    /// Of these, held for hostile when they came.
    pub hostile: u64,
    /// Of these, original requests.
    pub originals: u64,
    /// Of these, consequences of earlier panics.
    pub secondary: u64,
    /// Of these, panics of the environment or of resources.
    pub environment: u64,
    /// The commonest class and its events.
    pub class: Option<(String, u64)>,
    /// The release with the most events.
    pub release: Option<TopRelease>,
    /// Share of the busiest customer, from 0 to 1.
    pub customer_share: f64,
    /// Customers.
    pub customers: u64,
    /// Routes that panic in it.
    pub routes: u64,
    /// Other services in a storm at the same time.
    pub other_services: u64,
}

/// A cause with its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// The cause.
    pub cause: Cause,
    /// From 0 to 1.
    pub score: f64,
    /// The evidence, with its numbers.
    pub words: String,
}

impl Facts {
    /// The causes, the likeliest first.
    pub fn rank(&self) -> Vec<Scored> {
        let mut ranked: Vec<Scored> = Cause::NAMED.into_iter().map(|cause| self.scored(cause)).collect();
        let order = |one: &Scored| if one.score >= NAMED_AT { 0.0 } else { 1.0 - one.score };
        ranked.sort_by(|a, b| order(a).total_cmp(&order(b)));
        ranked
    }

    /// The first cause that is named, or unknown.
    pub fn cause(&self) -> Cause {
        self.rank().first().filter(|first| first.score >= NAMED_AT).map_or(Cause::Unknown, |first| first.cause)
    }

    fn scored(&self, cause: Cause) -> Scored {
        let (score, words) = match cause {
            Cause::Hostile => (self.share(self.hostile), self.hostile_words()),
            Cause::Release => (self.release_score(), self.release_words()),
            Cause::RetryCascade => (self.retry_score(), self.retry_words()),
            Cause::OneCustomer => (self.customer_share, self.customer_words()),
            Cause::Dependency => (self.dependency_score(), self.dependency_words()),
            Cause::Unknown => (0.0, String::new()),
        };
        Scored { cause, score: score.clamp(0.0, 1.0), words }
    }

    fn share(&self, events: u64) -> f64 {
        if self.events == 0 { 0.0 } else { count_f64(events.min(self.events)) / count_f64(self.events) }
    }

    fn percent(&self, events: u64) -> String {
        percent(self.share(events))
    }

    fn hostile_words(&self) -> String {
        format!("{} of the events were held for hostile when they came", self.percent(self.hostile))
    }

    fn release_score(&self) -> f64 {
        let Some(TopRelease { events, age_millis: Some(age), .. }) = self.release else { return 0.0 };
        let weight = if age <= FRESH_MILLIS {
            1.0
        } else if age <= RECENT_MILLIS {
            RECENT_WEIGHT
        } else {
            0.0
        };
        let share = self.share(events);
        weight * share * if share >= ROLLED_OUT { 1.0 } else { self.over_elsewhere(share) }
    }

    /// How far a share exceeds the release's share elsewhere, of what it could exceed it at most.
    fn over_elsewhere(&self, share: f64) -> f64 {
        match self.release {
            Some(TopRelease { elsewhere: (its, all), .. }) if all >= ELSEWHERE_MIN => {
                let usual = count_f64(its.min(all)) / count_f64(all);
                ((share - usual) / (1.0 - usual).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
            }
            _ => 1.0,
        }
    }

    fn release_words(&self) -> String {
        let Some(release) = &self.release else { return "no release is told".to_owned() };
        let has = format!("release {} has {} of the events", release.name, self.percent(release.events));
        match release.age_millis {
            None => format!("{has}; it is not known to be new"),
            Some(age) if age < 0 => format!("{has}; it first panicked after the storm began"),
            Some(0) => format!("{has}; it first panicked in the very minutes in which the storm began"),
            Some(age) => format!("{has}; it first panicked {} before the storm", duration(age)),
        }
    }

    fn retry_score(&self) -> f64 {
        if self.originals == 0 { 0.0 } else { 1.0 - self.share(self.originals) }
    }

    fn retry_words(&self) -> String {
        let Some(amplification) = self.amplification() else { return "no original request is known".to_owned() };
        format!("{amplification:.1} events an original request ({} of {})", self.events, self.originals)
    }

    /// Events an original request; `None` without any.
    pub fn amplification(&self) -> Option<f64> {
        (self.originals > 0).then(|| count_f64(self.events) / count_f64(self.originals))
    }

    fn customer_words(&self) -> String {
        match self.customers {
            0 => "no customer is told".to_owned(),
            1 => "one customer sent all that has a sender".to_owned(),
            n => format!("the busiest of {n} customers has {} of the events", percent(self.customer_share)),
        }
    }

    fn dependency_score(&self) -> f64 {
        let class = self.class.as_ref().map_or(0, |(_, events)| *events);
        // One route alone shares nothing with another.
        let breadth = if self.routes < 2 { 0.0 } else { (count_f64(self.routes) / ROUTES_MANY).min(1.0) };
        let common = self.share(self.environment).max(self.share(self.secondary)).max(breadth * self.share(class));
        common * (1.0 - self.release_score()) * (1.0 - self.customer_share)
    }

    fn dependency_words(&self) -> String {
        let class = match &self.class {
            Some((name, events)) => format!("{} are of class {name}, ", self.percent(*events)),
            None => String::new(),
        };
        let elsewhere = match self.other_services {
            0 => String::new(),
            1 => "; another service is in a storm at the same time".to_owned(),
            n => format!("; {n} other services are in a storm at the same time"),
        };
        format!(
            "{} at once; {class}{} of environment or resources, {} follow from earlier panics{elsewhere}",
            if self.routes == 1 { "one route".to_owned() } else { format!("{} routes", self.routes) },
            self.percent(self.environment),
            self.percent(self.secondary),
        )
    }
}

/// A share in whole percent; never 100 for less than all, never 0 for more than nothing.
pub(super) fn percent(share: f64) -> String {
    let rounded = (share * 100.0).round();
    if rounded >= 100.0 && share < 1.0 {
        "over 99 %".to_owned()
    } else if rounded <= 0.0 && share > 0.0 {
        "under 1 %".to_owned()
    } else {
        format!("{rounded:.0} %")
    }
}

/// `25 minutes`, `3 hours`.
pub(super) fn duration(millis: i64) -> String {
    let minutes = (millis.max(0) + Millis::MINUTE / 2) / Millis::MINUTE;
    match minutes {
        1 => "1 minute".to_owned(),
        ..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", (minutes + 30) / 60),
    }
}

#[cfg(test)]
mod tests;
