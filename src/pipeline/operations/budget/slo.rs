//! Service level objectives, and which lines of the ledger they are about.
//!
//! An [`Slo`] is what the configuration says, in names. A [`Scope`] is the same in the ids of one tenant's ledger: which
//! accounts hold its panics, and which request totals are its requests. Pure; a scope costs one pass over the day pages.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::pipeline::alert::Severity;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::ledger::{Account, Demand, RouteKey};
use crate::pipeline::operations::owners::Owners;
use crate::pipeline::operations::tally::Burn;
use crate::pipeline::sample::{count_f64, millis_f64};

/// Most objectives of a deployment: each is worked out anew every five minutes.
pub const SLOS_MAX: usize = 64;

/// Longest window in days: the hour pages of the ledger reach no further.
pub const WINDOW_DAYS_MAX: u32 = 32;

/// Parts of a million: the unit in which an error budget is kept, so that six nines can be said and no digit is lost.
pub const MILLION: u32 = 1_000_000;

/// Under this name a store keeps the objectives that are in force, as JSON.
pub const STORED_AS: &str = "slos";

/// A service level objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Name in reports, alerts and metrics: letters, digits, `-`, `_`, `.`; unique.
    pub name: String,
    /// Tenant; empty for the default one.
    pub tenant: String,
    /// Service.
    pub service: String,
    /// Routes as reports show them; all of the service when empty.
    pub routes: Vec<String>,
    /// Share of requests that may fail, in parts of a million: 1 to 999,999.
    pub budget_ppm: u32,
    /// Length of the window in days, from 1 to [`WINDOW_DAYS_MAX`].
    pub window_days: u32,
    /// What burns the budget.
    pub counts: BTreeSet<Burn>,
    /// When it is alerted; `None`: never.
    pub alarm: Option<AlarmRule>,
}

/// When a burning budget is alerted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlarmRule {
    /// Limits of the three pairs in place of the usual ones, the fastest first.
    pub limits: [Option<f64>; 3],
    /// Failed requests that the long window must hold.
    pub events_min: u64,
}

impl AlarmRule {
    /// Failed requests that the long window must hold, unless another number is set: fewer are a handful.
    pub const EVENTS_MIN: u64 = 10;
}

/// Two windows that must both burn fast: the long one says that it matters, the short one that it still goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The long window in milliseconds.
    pub long_millis: i64,
    /// The short window in milliseconds.
    pub short_millis: i64,
    /// Burn rate from which on both burn too fast.
    pub limit: f64,
    /// How much it matters.
    pub severity: Severity,
}

/// The pairs of the chapter "Alerting on SLOs" of Google's Site Reliability Workbook (table 5-8): the share of the
/// budget in per mille that is gone when the long window burns at the limit all along.
const PAIRS: [(i64, i64, i64, Severity); 3] = [
    (Millis::HOUR, 5 * Millis::MINUTE, 20, Severity::Critical),
    (6 * Millis::HOUR, 30 * Millis::MINUTE, 50, Severity::High),
    (3 * Millis::DAY, 6 * Millis::HOUR, 100, Severity::Medium),
];

impl Slo {
    /// The share of requests that must not fail, from 0 to 1.
    pub fn objective(&self) -> f64 {
        f64::from(MILLION.saturating_sub(self.budget_ppm)) / f64::from(MILLION)
    }

    /// The share that may fail, in parts of a million, of an objective between 0 and 1; `None` outside, and where the
    /// objective has more than six decimals.
    pub fn budget_of(objective: f64) -> Option<u32> {
        let met = objective * f64::from(MILLION);
        let is_whole = (met - met.round()).abs() <= 1e-6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
        let whole = (objective > 0.0 && objective < 1.0 && is_whole).then(|| met.round() as u32)?;
        (1..MILLION).contains(&whole).then(|| MILLION - whole)
    }

    /// The objective in per cent, without needless zeros: `99.9 %`.
    pub fn objective_words(&self) -> String {
        format!("{} %", f64::from(MILLION.saturating_sub(self.budget_ppm)) / 10_000.0)
    }

    /// The window in milliseconds.
    pub fn window_millis(&self) -> i64 {
        i64::from(self.window_days).saturating_mul(Millis::DAY)
    }

    /// Which requests are meant: the service, and its routes where they are named.
    pub fn subject(&self) -> String {
        match self.routes.as_slice() {
            [] => self.service.clone(),
            [one] => format!("{one} of {}", self.service),
            [first, rest @ ..] => format!("{first} and {} more routes of {}", rest.len(), self.service),
        }
    }

    /// The pairs of windows that can be alerted on. The limit is the burn rate that spends the pair's share of the
    /// budget within its long window, and so depends on how long the objective's own window is; it is never below 1,
    /// since a budget that burns slower lasts. A pair whose long window is longer than the objective's is left out.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + use<> {
        let (window, limits) = (self.window_millis(), self.alarm.map_or([None; 3], |rule| rule.limits));
        let fitting = PAIRS.into_iter().zip(limits).filter(move |((long, ..), _)| *long <= window);
        fitting.map(move |((long_millis, short_millis, spent_permille, severity), limit)| {
            let spent = spent_permille.saturating_mul(window / Millis::HOUR);
            let usual = millis_f64(spent) / (1_000.0 * millis_f64(long_millis / Millis::HOUR));
            Pair { long_millis, short_millis, limit: limit.unwrap_or(usual.max(1.0)), severity }
        })
    }

    /// How many times too fast the budget burns when `bad` of `requests` fail: 1 spends it exactly within the window.
    /// `None` without requests.
    pub fn burn(&self, bad: u64, requests: u64) -> Option<f64> {
        let even = count_f64(requests.checked_mul(u64::from(self.budget_ppm))?);
        let all = count_f64(bad.checked_mul(u64::from(MILLION))?);
        (even > 0.0).then(|| all / even)
    }
}

/// Where an account belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To the objective.
    Inside,
    /// To its service, but the route is not known any more: it may or may not be one of the objective's.
    Somewhere,
    /// To something else.
    Outside,
}

/// Which lines of a ledger an objective is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    service: Id,
    /// All when empty.
    routes: BTreeSet<Id>,
    /// Routes whose requests are ours where the traffic feed names no service.
    own: BTreeSet<Id>,
    /// All requests are ours where the traffic feed names no service.
    is_sole: bool,
}

impl Scope {
    /// The scope of a service and some of its routes (all when there are none). A request total that names no service
    /// is of the one service that panics on its route, or of the only service there is; where no service ever panicked on it,
    /// of an objective that names the route.
    pub fn new(owners: &Owners, service: Id, routes: BTreeSet<Id>) -> Self {
        let ours = owners.routes().filter(|route| owners.owner(*route) == Some(service) && among(&routes, *route));
        let unowned = routes.iter().filter(|route| !owners.is_known(**route));
        let own = ours.chain(unowned.copied()).collect();
        Self { service, routes, own, is_sole: owners.sole() == Some(service) }
    }

    pub(super) fn place(&self, account: &Account) -> Place {
        match account.route {
            _ if account.service != Some(self.service) => Place::Outside,
            RouteKey::Named(route) | RouteKey::Guessed(route) if among(&self.routes, route) => Place::Inside,
            RouteKey::Named(_) | RouteKey::Guessed(_) => Place::Outside,
            RouteKey::Rest if self.routes.is_empty() => Place::Inside,
            RouteKey::Rest => Place::Somewhere,
        }
    }

    /// Whether these requests are the objective's.
    pub fn asks(&self, demand: &Demand) -> bool {
        match demand.service {
            Some(service) => service == self.service && among(&self.routes, demand.route),
            None if self.is_sole => among(&self.routes, demand.route),
            None => self.own.contains(&demand.route),
        }
    }
}

fn among(routes: &BTreeSet<Id>, route: Id) -> bool {
    routes.is_empty() || routes.contains(&route)
}
