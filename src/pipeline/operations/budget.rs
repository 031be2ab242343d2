//! Error budgets: how much of what may fail has failed, how fast it goes, and who is to blame for it.
//!
//! Reads the ledger of one tenant and an [`Slo`]; gives [`Figures`]: for windows of five minutes up to the objective's
//! own, the panics split into real, transient, hostile, announced and unknown (every panic is one of these, so the split
//! adds up to the whole), the requests, and burn rates. What burns the budget is what the objective `counts`: what is
//! [`Burn::Real`] unless it says otherwise. The other series stand beside it and are never in it.
//!
//! The denominator is a traffic feed's. A panic is divided by requests only where both are known: a page without
//! requests counts for the split, and not for a rate. Without requests there is no rate at all, and neither where fewer
//! requests than panics are told: such a feed has gaps. A feed is a little late, so windows end with the newest page of
//! five minutes that has requests, up to [`FEED_DELAY_MAX_MILLIS`] before the time that is asked for; pages that are not
//! over yet are left out, since a part of their panics has not come.
//!
//! Windows are whole pages of the ledger ([`Ledger::span`]): of five minutes as long as it has them, which is 50 hours,
//! and else of hours; then the ends are up to an hour longer. Each window says which pages it read.
//!
//! Costs some 20 ns an account and page: 30 days of a service with a hundred accounts a page take some 3 ms.

pub mod alarm;
pub mod slo;

use std::collections::BTreeMap;

use self::slo::{Place, Scope, Slo};
use super::ledger::{Ledger, Page, Span, Tier};
use super::owners::Owners;
use super::tally::{Burn, Tally};
use crate::pipeline::Context;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::sample::{count_f64, millis_f64};
use crate::pipeline::state::State;

/// How late a traffic feed may be: its totals come after their five minutes are over, and then through a queue.
pub const FEED_DELAY_MAX_MILLIS: i64 = Millis::HOUR;

/// The windows that are told, beside the objective's own.
const WINDOWS: [(i64, &str); 7] = [
    (5 * Millis::MINUTE, "5m"),
    (30 * Millis::MINUTE, "30m"),
    (Millis::HOUR, "1h"),
    (2 * Millis::HOUR, "2h"),
    (6 * Millis::HOUR, "6h"),
    (Millis::DAY, "1d"),
    (3 * Millis::DAY, "3d"),
];

/// The window by which exhaustion is projected: long enough to hold some requests, short enough to know of a rollback.
const PACE_MILLIS: i64 = Millis::HOUR;

/// Panics by what they do to the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split([u64; Burn::ALL.len()]);

impl Split {
    /// Panics of a kind.
    pub fn get(&self, burn: Burn) -> u64 {
        Burn::ALL.into_iter().zip(self.0).find(|(kind, _)| *kind == burn).map_or(0, |(_, n)| n)
    }

    /// All panics.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Panics that burn the budget of `slo`.
    pub fn counted(&self, slo: &Slo) -> u64 {
        slo.counts.iter().fold(0, |sum, burn| sum.saturating_add(self.get(*burn)))
    }

    fn add(&mut self, tally: &Tally) {
        for (n, burn) in self.0.iter_mut().zip(Burn::ALL) {
            *n = n.saturating_add(tally.get(burn.counter()));
        }
    }

    fn merge(&mut self, other: &Self) {
        for (n, more) in self.0.iter_mut().zip(other.0) {
            *n = n.saturating_add(more);
        }
    }
}

/// What one window holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// `5m`, `6h`, `30d`.
    pub name: String,
    /// How long it is meant to be, in milliseconds.
    pub millis: i64,
    /// The pages that were read for it.
    pub span: Span,
    /// All panics.
    pub events: Split,
    /// Panics in pages that have requests: what rates are made of.
    pub events_with_requests: Split,
    /// Panics of the service whose route is not known any more; in none of the splits. 0 for an objective of all routes.
    pub n_elsewhere: u64,
    /// Requests.
    pub requests: u64,
    /// Milliseconds since the ledger began, within the window.
    pub known_millis: i64,
    /// Milliseconds of pages that have requests.
    pub covered_millis: i64,
}

impl Window {
    /// Whether there are rates: there are requests, and no fewer than panics.
    pub fn has_rates(&self) -> bool {
        self.requests > 0 && self.events_with_requests.total() <= self.requests
    }

    /// Burn rate of one series.
    pub fn burn(&self, slo: &Slo, series: Burn) -> Option<f64> {
        self.has_rates().then(|| slo.burn(self.events_with_requests.get(series), self.requests)).flatten()
    }

    /// Burn rate of what burns the budget.
    pub fn burn_counted(&self, slo: &Slo) -> Option<f64> {
        self.has_rates().then(|| slo.burn(self.events_with_requests.counted(slo), self.requests)).flatten()
    }

    /// Share of the window that has requests, from 0 to 1.
    pub fn coverage(&self) -> f64 {
        (millis_f64(self.covered_millis) / millis_f64(self.millis.max(1))).min(1.0)
    }

    fn read(name: &str, millis: i64, ledger: &Ledger, scope: &Scope, end: Millis) -> Self {
        let span = ledger.span(end.plus(-millis), end);
        let none = Split::default();
        let mut window = Self {
            name: name.to_owned(),
            millis,
            span,
            events: none,
            events_with_requests: none,
            n_elsewhere: 0,
            requests: 0,
            known_millis: 0,
            covered_millis: 0,
        };
        for (_, page) in ledger.pages(span) {
            window.add(page, scope);
        }
        if let Some(all) = ledger.extent() {
            let (from, to) = (span.from.max(all.from), span.to.min(all.to));
            window.known_millis = to.since(from).clamp(0, millis);
        }
        window.covered_millis = window.covered_millis.min(millis);
        window
    }

    fn add(&mut self, page: &Page, scope: &Scope) {
        let mut split = Split::default();
        for (account, tally) in page.accounts() {
            match scope.place(account) {
                Place::Inside => split.add(tally),
                Place::Somewhere => {
                    let mut elsewhere = Split::default();
                    elsewhere.add(tally);
                    self.n_elsewhere = self.n_elsewhere.saturating_add(elsewhere.total());
                }
                Place::Outside => {}
            }
        }
        self.events.merge(&split);
        let requests = requests_of(page, scope);
        if requests > 0 {
            self.requests = self.requests.saturating_add(requests);
            self.events_with_requests.merge(&split);
            self.covered_millis = self.covered_millis.saturating_add(self.span.tier.millis());
        }
    }
}

fn requests_of(page: &Page, scope: &Scope) -> u64 {
    let ours = page.requests().filter(|(demand, _)| scope.asks(demand));
    ours.fold(0, |sum, (_, n)| sum.saturating_add(n))
}

/// How an error budget stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Requests that may fail of those that are known of the objective's window.
    pub allowed: f64,
    /// Share of these that failed; 1 is all of them.
    pub used: f64,
    /// Share of the whole window's budget that this is, if the part of the window that is not known was as busy and
    /// without faults. The same as `used` where all of it is known.
    pub used_of_window: f64,
    /// What is left of the whole window's budget; negative when it is overspent.
    pub remaining: f64,
    /// Milliseconds until it is spent at the pace of the last hour, if nothing old leaves the window before; 0 when it
    /// is, `None` when it lasts for a whole window, or when there is no pace to tell.
    pub exhausted_in_millis: Option<i64>,
}

/// All that is told of an objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Where the windows end.
    pub end: Millis,
    /// The windows, the shortest first; the last one is the objective's own.
    pub windows: Vec<Window>,
    /// How the budget stands; `None` without rates.
    pub budget: Option<Budget>,
}

impl Figures {
    /// The figures of `slo` in windows that end at `end` ([`end_of_data`]).
    pub fn of(slo: &Slo, scope: &Scope, ledger: &Ledger, end: Millis) -> Self {
        let whole = slo.window_millis();
        let shorter = WINDOWS.into_iter().filter(|(millis, _)| *millis < whole);
        let mut windows: Vec<Window> =
            shorter.map(|(millis, name)| Window::read(name, millis, ledger, scope, end)).collect();
        let own = Window::read(&format!("{}d", slo.window_days), whole, ledger, scope, end);
        let pace = windows.iter().find(|window| window.millis == PACE_MILLIS).and_then(|last| last.burn_counted(slo));
        let budget = budget(slo, &own, pace);
        windows.push(own);
        Self { end, windows, budget }
    }

    /// The objective's own window.
    pub fn own(&self) -> Option<&Window> {
        self.windows.last()
    }
}

fn budget(slo: &Slo, own: &Window, pace: Option<f64>) -> Option<Budget> {
    let used = own.burn_counted(slo)?;
    let allowed = count_f64(own.requests) * f64::from(slo.budget_ppm) / f64::from(slo::MILLION);
    let used_of_window = used * own.coverage();
    let remaining = 1.0 - used_of_window;
    let left_in_windows = pace.filter(|pace| *pace > 0.0).map(|pace| remaining.max(0.0) / pace);
    let exhausted_in_millis = match left_in_windows {
        _ if remaining <= 0.0 => Some(0),
        Some(windows) if windows < 1.0 => Some(part_of(own.millis, windows)),
        _ => None,
    };
    Some(Budget { allowed, used, used_of_window, remaining, exhausted_in_millis })
}

/// A share from 0 to 1 of some milliseconds, to the millisecond below.
fn part_of(millis: i64, share: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a share of a window of 32 days at most")]
    let part = (millis_f64(millis) * share.clamp(0.0, 1.0)).floor() as i64;
    part
}

/// The figures of all objectives of a deployment, for the service that has its keys. One whose tenant has no events yet
/// has figures of nothing.
pub fn budgets<'c>(context: &'c Context, state: &State, now: Millis) -> Vec<(&'c Slo, Figures)> {
    let empty = Ledger::default();
    let ledgers: BTreeMap<Id, &Ledger> =
        state.tenants().map(|(id, tenant)| (id, tenant.operations().ledger())).collect();
    let mut owners: BTreeMap<Id, Owners> = BTreeMap::new();
    let mut all = Vec::new();
    for slo in &context.operations.slos {
        let id = |text: &str| context.keys.name(text.as_bytes());
        let tenant = id(&slo.tenant);
        let ledger = ledgers.get(&tenant).copied().unwrap_or(&empty);
        let owners = owners.entry(tenant).or_insert_with(|| Owners::of(ledger));
        let scope = Scope::new(owners, id(&slo.service), slo.routes.iter().map(|route| id(route)).collect());
        all.push((slo, Figures::of(slo, &scope, ledger, end_of_data(ledger, &scope, now))));
    }
    all
}

/// Where windows end that are asked for at `at`: at the end of the newest page of five minutes that was over then and
/// has requests of the scope; where there is none that is young enough, at the end of the newest page that was over.
pub fn end_of_data(ledger: &Ledger, scope: &Scope, at: Millis) -> Millis {
    let page_millis = Tier::FiveMinutes.millis();
    let over = Tier::FiveMinutes.start(at);
    let recent = Span { from: over.plus(-FEED_DELAY_MAX_MILLIS), to: over, tier: Tier::FiveMinutes };
    let newest = ledger.pages(recent).rev().find(|(_, page)| requests_of(page, scope) > 0);
    newest.map_or(over, |(start, _)| start.plus(page_millis))
}

#[cfg(test)]
mod tests;
