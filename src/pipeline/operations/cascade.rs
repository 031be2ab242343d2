//! Retry cascades: retries that breed panics faster than requests do.
//!
//! Reads the newest pages of the ledger; gives, for each route on which they happen, the amplification (panics for each
//! original request), the number of retries, and how many times as many these are as in the busiest time of the day
//! before. A persistent client that retries what can never succeed has a high amplification all day: that is a fault of
//! the client, and no cascade. A cascade has both: the interval of the amplification lies above its limit, and the
//! interval of the growth lies above its own.
//!
//! Pure. Costs one pass over three pages an epoch; the day before is looked at only for routes whose amplification is
//! over the limit already.

use std::collections::BTreeMap;

use super::interval::{Interval, rate_ratio};
use super::ledger::{Ledger, RouteKey, Span, Tier};
use super::releases::PAGE_MILLIS;
use super::rollback::amplification;
use super::tally::Counter;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::sample::mix;

/// How far back a route's busiest time is looked for.
const BEFORE_MILLIS: i64 = Millis::DAY;

/// What lies so shortly before the window is not what is usual: the cascade may have begun in it. Those of the labelled
/// sets took up to twenty minutes to grow.
const GAP_MILLIS: i64 = 30 * Millis::MINUTE;

/// How much of a service's account must lie before that: without it nobody knows what is usual.
const HISTORY_MIN_MILLIS: i64 = Millis::HOUR;

/// When retries are a cascade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CascadeLimits {
    /// Panics for each original request, above which the interval must lie.
    pub amplification: f64,
    /// Retries as a multiple of those in the busiest time of the day before, above which the interval must lie.
    pub growth: f64,
    /// Retries in the window without which nothing is a cascade.
    pub retries_min: u64,
    /// Five-minute pages of the window, at least 1.
    pub window_pages: i64,
}

impl Default for CascadeLimits {
    /// One and a half panics a request, three times the busiest quarter of an hour before, fifty retries: chosen on
    /// the labelled sets, whose retried bad releases had them and whose ordinary days had not; proved on no other.
    fn default() -> Self {
        Self { amplification: 1.5, growth: 3.0, retries_min: 50, window_pages: 3 }
    }
}

impl CascadeLimits {
    /// The pages up to `now`: the open one counts.
    pub fn window(&self, now: Millis) -> Span {
        let open = Tier::FiveMinutes.start(now.plus(-1));
        let from = open.plus(-(self.window_pages.max(1) - 1).saturating_mul(PAGE_MILLIS));
        Span { from, to: open.plus(PAGE_MILLIS), tier: Tier::FiveMinutes }
    }
}

/// A route of a service.
pub type Place = (Id, RouteKey);

/// What an alert on a place is about.
pub(super) fn subject((service, route): Place) -> Id {
    Id(mix(service.0 ^ mix(route.id().map_or(0, |id| id.0))))
}

/// Retries on one route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retries {
    /// Panics.
    pub events: u64,
    /// Of these, original requests.
    pub originals: u64,
    /// Panics of which it is told that a later attempt succeeded.
    pub succeeded: u64,
    /// Retries that changed again what had been changed.
    pub repeated_side_effects: u64,
    /// Panics that were not caught.
    pub unhandled: u64,
    /// Retries by page.
    pub pages: BTreeMap<Millis, u64>,
}

impl Retries {
    /// Panics that continue an earlier request.
    pub fn retries(&self) -> u64 {
        self.events - self.originals
    }

    /// Panics for each original request; `None` without panics.
    pub fn amplification(&self) -> Option<Interval> {
        amplification(self.events, self.originals)
    }
}

/// The retries on each route in a span.
pub fn retries(ledger: &Ledger, span: Span) -> BTreeMap<Place, Retries> {
    let mut places: BTreeMap<Place, Retries> = BTreeMap::new();
    for (start, page) in ledger.pages(span) {
        for (account, tally) in page.accounts() {
            let Some(service) = account.service.filter(|_| account.route != RouteKey::Rest) else { continue };
            let (events, originals) = (tally.get(Counter::Events), tally.get(Counter::Originals));
            let place = places.entry((service, account.route)).or_default();
            place.events += events;
            place.originals += originals.min(events);
            place.succeeded += tally.get(Counter::RetrySucceeded);
            place.repeated_side_effects += tally.get(Counter::RepeatedSideEffects);
            place.unhandled += tally.get(Counter::Unhandled);
            *place.pages.entry(start).or_default() += events.saturating_sub(originals);
        }
    }
    places
}

/// A route whose retries are many.
#[derive(Debug, Clone, PartialEq)]
pub struct Cascade {
    /// The route.
    pub place: Place,
    /// Its retries in the window.
    pub retries: Retries,
    /// Panics for each original request.
    pub amplification: Interval,
    /// Retries as a multiple of those in the busiest time before; `None`: too little is known of the time before.
    pub growth: Option<Interval>,
    /// The retries of that busiest time.
    pub busiest: u64,
    /// Whether both intervals lie above their limits.
    pub holds: bool,
}

/// The places that are cascades at `now`, and those of which an alert is open (`is_open`) and that have not calmed yet:
/// those stay until their amplification or half the number of retries is below its limit.
pub fn cascades(ledger: &Ledger, limits: &CascadeLimits, now: Millis, is_open: impl Fn(Place) -> bool) -> Vec<Cascade> {
    let window = limits.window(now);
    let many = retries(ledger, window).into_iter().filter_map(|(place, retries)| {
        let open = is_open(place);
        let needed = if open { limits.retries_min / 2 } else { limits.retries_min };
        let amplification = retries.amplification().filter(|_| retries.retries() >= needed.max(1))?;
        let end = if open { amplification.estimate } else { amplification.low };
        (end > limits.amplification).then_some((place, retries, amplification, open))
    });
    let mut found: Vec<Cascade> = Vec::new();
    for (place, retries, amplification, open) in many {
        let busiest = busiest_before(ledger, place, window);
        let growth = busiest.and_then(|busiest| {
            let length = u64::try_from(window.millis()).ok()?;
            rate_ratio(retries.retries(), length, busiest, length)
        });
        let holds = open || growth.is_some_and(|growth| growth.low > limits.growth);
        found.push(Cascade { place, retries, amplification, growth, busiest: busiest.unwrap_or(0), holds });
    }
    found
}

/// Most retries on a route in as many pages as the window has, in the day that ends [`GAP_MILLIS`] before it; `None` where
/// the account of the service does not reach back an hour from there.
fn busiest_before(ledger: &Ledger, (service, route): Place, window: Span) -> Option<u64> {
    let to = window.from.plus(-GAP_MILLIS);
    let before = Span { from: to.plus(-BEFORE_MILLIS), to, ..window };
    let mut known_from = None;
    let mut pages: Vec<(Millis, u64)> = Vec::new();
    for (start, page) in ledger.pages(before) {
        let mut retries = 0;
        for (account, tally) in page.accounts().filter(|(account, _)| account.service == Some(service)) {
            known_from = known_from.or(Some(start));
            if account.route == route {
                retries += tally.get(Counter::Events).saturating_sub(tally.get(Counter::Originals));
            }
        }
        pages.push((start, retries));
    }
    if before.to.since(known_from?) < HISTORY_MIN_MILLIS {
        return None;
    }
    let mut most = 0_u64;
    for (at, (start, _)) in pages.iter().enumerate() {
        let stretch = pages.iter().skip(at).take_while(|(later, _)| later.since(*start) < window.millis());
        most = most.max(stretch.map(|(_, n)| n).sum());
    }
    Some(most)
}

#[cfg(test)]
mod tests;
