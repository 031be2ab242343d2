//! The lives of what was alerted: when it began, when it was told, when it ended; and medians over some that have not.
//!
//! Reads the outbox. Detection is the time from the first event of a cluster or situation, as its first alert tells it,
//! to that alert, in event time. Containment is the time from that first event to the last one that is known: of its
//! alerts, or of the cells as they stand. What is still open is longer than anything that is over.
//!
//! Costs a look-up in the outbox for each life; a period has at most [`ALERTS_MAX`] alerts that are looked at.

use anyhow::Result;

use super::document::duration;
use crate::edge::store::{Sent, Store};
use crate::pipeline::alert::{Alert, Category, Change};
use crate::pipeline::event::Millis;
use crate::pipeline::operations::interval::median_ranks;

/// Alerts of a period that are looked at, the newest: a bad day has hundreds.
pub(super) const ALERTS_MAX: usize = 10_000;

/// A situation, or a hostile cluster, whose first alert lies in the period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Begun {
    pub(super) name: String,
    pub(super) category: Category,
    pub(super) first_event: Option<Millis>,
    pub(super) alerted: Millis,
    pub(super) last_event: Option<Millis>,
    /// When it was closed, or became part of another.
    pub(super) closed: Option<Millis>,
}

impl Begun {
    /// Milliseconds from first event to first alert.
    pub(super) fn detection(&self) -> Option<i64> {
        Some(self.alerted.since(self.first_event?).max(0))
    }

    /// Milliseconds from first event to last; `None` while it is open.
    pub(super) fn containment(&self) -> Option<i64> {
        self.closed?;
        Some(self.last_event?.since(self.first_event?).max(0))
    }

    /// Milliseconds from first alert to last event, 0 where nothing came after it; `None` while it is open.
    pub(super) fn after_alert(&self) -> Option<i64> {
        self.closed?;
        Some(self.last_event?.since(self.alerted).max(0))
    }
}

/// Those whose first alert is among `sent`, with what is known of them until now; `last_of` knows the last event of a
/// cluster that still has cells. By the time of the alert, then by name.
///
/// # Errors
/// The store cannot be read.
pub(super) fn begun(store: &Store, sent: &[Sent], last_of: impl Fn(&str) -> Option<Millis>) -> Result<Vec<Begun>> {
    let mut begun = Vec::new();
    for Sent { alert, .. } in sent.iter().filter(|sent| sent.alert.ordinal == 0) {
        let Some(alerted) = Millis::parse(&alert.at) else { continue };
        let life = store.alerts_of(&alert.cluster)?;
        let last_told = life.iter().filter_map(|alert| Millis::parse(&alert.portrait.last_event)).max();
        let last = life.last().filter(|last| last.change == Change::Closed);
        begun.push(Begun {
            name: alert.cluster.clone(),
            category: alert.category,
            first_event: Millis::parse(&alert.portrait.first_event),
            alerted,
            last_event: last_told.max(last_of(&alert.cluster)),
            closed: last.and_then(|alert| Millis::parse(&alert.at)),
        });
    }
    begun.sort_by(|a, b| (a.alerted, &a.name).cmp(&(b.alerted, &b.name)));
    Ok(begun)
}

/// The median of durations of which some are not over yet (`None`): these are longer than any that is. With an interval
/// of 95 % where there are enough; an end that falls among the unfinished is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Median {
    /// The (lower) median; `None` where it falls among the unfinished or there are none.
    pub(super) middle: Option<i64>,
    /// Ends of the interval; the outer `None`: too few to say.
    pub(super) ends: Option<(Option<i64>, Option<i64>)>,
    /// How many there are, finished or not.
    pub(super) n: u64,
    /// How many are not over yet.
    pub(super) n_open: u64,
}

/// See [`Median`].
pub(super) fn median(durations: impl Iterator<Item = Option<i64>>) -> Median {
    let all: Vec<Option<i64>> = durations.collect();
    let mut over: Vec<i64> = all.iter().flatten().copied().collect();
    over.sort_unstable();
    let n = all.len() as u64;
    let rank = |rank: u64| usize::try_from(rank).ok()?.checked_sub(1).and_then(|at| over.get(at)).copied();
    let ends = median_ranks(n).map(|(low, high)| (rank(low), rank(high)));
    Median { middle: rank(n.div_ceil(2)), ends, n, n_open: n - over.len() as u64 }
}

/// `4 min 12 s (2 min 0 s to 8 min 1 s), of 12, 2 of them still open`.
pub(super) fn median_words(median: &Median) -> String {
    let one = |end: Option<i64>| end.map_or_else(|| "still open".to_owned(), duration);
    let ends = match median.ends {
        Some((low, high)) => format!(" ({} to {})", one(low), one(high)),
        None => " (too few for an interval)".to_owned(),
    };
    let open = if median.n_open > 0 { format!(", {} of them still open", median.n_open) } else { String::new() };
    format!("median {}{ends}, of {}{open}", one(median.middle), median.n)
}

/// Whether an alert is about the services that are asked for: a closing one may name none, and is when its life is.
pub(super) fn is_about(alert: &Alert, service: Option<&str>, known: impl Fn(&str) -> bool) -> bool {
    let Some(service) = service else { return true };
    alert.portrait.services.iter().any(|one| one.name == service) || known(&alert.cluster)
}
