//! Request totals: how many requests a route of a release had in a window of time, panicking or not.
//!
//! Reads `request-totals.v1`, a record, an array or a line each; gives [`Piece::Total`]. A total tells of no panic: it is
//! what panics are divided by. Windows are five minutes long and begin at multiples of five minutes, since the account
//! of panics has pages of that length; any other window is refused rather than spread over pages by a guess. The service
//! may be left out (a proxy knows routes alone): the topic's is taken, or else whoever reports finds out whose route it is.
//!
//! The route is written as `panicsift report telemetry` shows it, method in front: `POST /v1/orders/{id}`.
//!
//! A window that lies ahead of its record's own time is refused: totals of a year to come would push those of today out
//! of the account. [`traffic`] reads the same from CSV.
//!
//! Limits: [`REQUESTS_MAX`] requests a window; those of [`items`]. Cost: one pass.

pub(in crate::pipeline) mod traffic;

use std::borrow::Cow;

use serde::de::MapAccess;

use super::field::{Count64, Id, Name, Time};
use super::found::Find;
use super::reader::{self, Entry, Object, keys};
use super::trace::Trace;
use super::{CLOCK_AHEAD_MS_MAX, Piece, Refusal, UNNAMED_SERVICE, foreign, items};
use crate::pipeline::event::owned::owned;
use crate::pipeline::event::{Millis, Reason};

/// Most requests of one route and release in five minutes: more than all of the largest networks serve in that time.
pub const REQUESTS_MAX: u64 = 1_000_000_000_000;

/// Seconds of a window: a page of the account.
pub(super) const WINDOW_SECS: u64 = 300;

/// The years from 2000 to 2199: windows of other times were written by a broken clock.
const CREDIBLE: std::ops::Range<Millis> = Millis(946_684_800_000)..Millis(7_258_118_400_000);

/// How many requests a route had in a window of five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestTotal<'a> {
    /// Start of the window: a multiple of five minutes.
    pub window_start: Millis,
    /// Service; `None` where the feed does not say.
    pub service: Option<Cow<'a, str>>,
    /// Tenant; empty means the default one.
    pub tenant: Cow<'a, str>,
    /// Route, method in front.
    pub endpoint: Cow<'a, str>,
    /// Release; `None` where the feed does not say.
    pub release: Option<Cow<'a, str>>,
    /// Requests.
    pub requests: u64,
}

impl RequestTotal<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> RequestTotal<'static> {
        RequestTotal {
            window_start: self.window_start,
            service: self.service.map(owned),
            tenant: owned(self.tenant),
            endpoint: owned(self.endpoint),
            release: self.release.map(owned),
            requests: self.requests,
        }
    }

    /// End of the window, exclusive.
    pub fn end(&self) -> Millis {
        self.window_start.plus(Millis::SECOND * i64::try_from(WINDOW_SECS).unwrap_or(0))
    }
}

/// A total as it stands on the wire, in JSON or in CSV.
#[derive(Default)]
struct TotalWire<'a> {
    window_start: Option<Millis>,
    window_secs: Option<u64>,
    service: Option<Cow<'a, str>>,
    tenant: Option<Cow<'a, str>>,
    endpoint: Option<Cow<'a, str>>,
    release: Option<Cow<'a, str>>,
    requests: Option<u64>,
}

keys!(TotalWire<'de>, "", |wire, value| {
    "window_start" => wire.window_start = value.leaf(Time)?,
    "window_secs" => wire.window_secs = value.leaf(Count64)?,
    "service" => wire.service = value.leaf(Name)?,
    "tenant" => wire.tenant = value.leaf(Name)?,
    "endpoint" => wire.endpoint = value.leaf(Id)?,
    "release" => wire.release = value.leaf(Name)?,
    "requests" => wire.requests = value.leaf(Count64)?,
});

impl<'a> TotalWire<'a> {
    /// The total, if it is one that can be counted. `latest` is the last time at which its window may begin.
    fn settle(self, latest: Option<Millis>) -> Result<RequestTotal<'a>, Refusal> {
        let missing = |key: &str, what: &str| Refusal {
            reason: Reason::MissingKey,
            detail: format!("{key}: {what} is needed, and it is missing or null"),
        };
        let bad = |detail: &str| Err(Refusal { reason: Reason::BadValue, detail: detail.to_owned() });
        let window_start = self.window_start.ok_or_else(|| missing("window_start", "a date and time"))?;
        let endpoint = self.endpoint.ok_or_else(|| missing("endpoint", "a text"))?;
        let requests = self.requests.ok_or_else(|| missing("requests", "a whole number"))?;
        let word = |text: Option<Cow<'a, str>>| text.filter(|text| !text.trim().is_empty());
        let total = RequestTotal {
            window_start,
            service: word(self.service),
            tenant: word(self.tenant).unwrap_or_default(),
            endpoint,
            release: word(self.release),
            requests,
        };
        let length = total.end().since(window_start).max(1);
        if self.window_secs.is_some_and(|secs| secs != WINDOW_SECS) {
            return bad("window_secs: windows of 300 seconds are counted, and this one has another length");
        }
        if window_start.0.rem_euclid(length) != 0 {
            return bad("window_start: a multiple of five minutes is needed");
        }
        if !CREDIBLE.contains(&window_start) {
            return bad("window_start: a time from 2000 to 2199 is needed");
        }
        if latest.is_some_and(|latest| window_start > latest) {
            return bad("window_start: it lies ahead of the record's own time");
        }
        if requests > REQUESTS_MAX {
            return bad("requests: a whole number from 0 to 1000000000000 is needed");
        }
        Ok(total)
    }
}

/// Reads one record.
///
/// Errors: what is no JSON, and a total that lacks something or cannot be counted.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    items::each(payload, find, |text, find| {
        let (trace, mut wire) = (Trace::default(), TotalWire::default());
        reader::read(text, &trace, &mut wire).map_err(|error| foreign::explain(&error, &trace, text))?;
        let latest = find.record().broker_time.map(|time| time.plus(CLOCK_AHEAD_MS_MAX));
        let mut total = wire.settle(latest)?;
        let feed = find.feed();
        let told = |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| Cow::Owned(text.to_owned()));
        total.service = total.service.or_else(|| told(&feed.service).filter(|service| service != UNNAMED_SERVICE));
        if total.tenant.is_empty() {
            total.tenant = told(&feed.tenant).unwrap_or_default();
        }
        find.piece(Piece::Total(total));
        Ok(())
    })
}

#[cfg(test)]
mod tests;
