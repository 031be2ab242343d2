//! Traffic feeds of a replay: request totals from CSV files, in the order in which their windows end.
//!
//! Reads each file whole; gives its totals to the replay as event time passes the end of their window, so that what looks
//! at rates meets them when a running service would have. A row that is no total is told and left out, a file without the
//! columns that are needed ends the replay before it begins. Bounds: [`BYTES_MAX`] a file, and the decoder's own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::edge::files::whole::read_whole;
use crate::pipeline::Context;
use crate::pipeline::decode::{Refusal, RequestTotal, read_traffic};
use crate::pipeline::event::Millis;
use crate::pipeline::requests::{count_requests, refusal_of};
use crate::pipeline::state::State;

/// Most bytes of a feed, unpacked: a million rows of 128 bytes.
const BYTES_MAX: u64 = 128 << 20;

/// Refused rows that are told of in full.
const REFUSALS_TOLD_MAX: u64 = 10;

/// The totals that are not counted yet, and what became of the others.
#[derive(Debug, Default)]
pub(super) struct TrafficFeed {
    waiting: VecDeque<RequestTotal<'static>>,
    /// Totals that were counted.
    pub(super) n_counted: u64,
    /// Totals that had been counted before.
    pub(super) n_repeated: u64,
    /// Rows that were refused.
    pub(super) n_refused: u64,
}

impl TrafficFeed {
    /// Reads all of `paths`; `tenant` is that of rows that name none. Their service is not guessed: whoever reports finds
    /// out whose routes they are.
    pub(super) fn read(paths: &[PathBuf], tenant: &str) -> Result<Self> {
        let mut it = Self::default();
        let mut totals = Vec::new();
        for path in paths {
            it.read_file(path, &mut totals).with_context(|| format!("the traffic feed {}", path.display()))?;
        }
        for total in totals.iter_mut().filter(|total| total.tenant.is_empty()) {
            total.tenant = tenant.to_owned().into();
        }
        totals.sort_by_key(|total| total.window_start);
        it.waiting = totals.into();
        Ok(it)
    }

    fn read_file(&mut self, path: &Path, totals: &mut Vec<RequestTotal<'static>>) -> Result<()> {
        let bytes = read_whole(path, BYTES_MAX)?;
        let traffic = read_traffic(&bytes).map_err(|refusal| anyhow!("{}", refusal.detail))?;
        if !traffic.unread.is_empty() {
            tracing::warn!(file = %path.display(), columns = traffic.unread.join(", "), "columns that are not read");
        }
        for row in traffic.rows {
            match row.total {
                Ok(total) => totals.push(total),
                Err(refusal) => self.refuse(&refusal, &format!("{}:{}", path.display(), row.line)),
            }
        }
        Ok(())
    }

    /// When the first of the waiting windows ends.
    pub(super) fn next_end(&self) -> Option<Millis> {
        self.waiting.front().map(RequestTotal::end)
    }

    /// Counts the totals of all windows that are over at `now`.
    pub(super) fn count_due(&mut self, context: &Context, state: &mut State, now: Millis) {
        while self.next_end().is_some_and(|end| end <= now)
            && let Some(total) = self.waiting.pop_front()
        {
            self.count(context, state, &total);
        }
    }

    /// Counts a total.
    pub(super) fn count(&mut self, context: &Context, state: &mut State, total: &RequestTotal<'_>) {
        match count_requests(context, state, total).map_err(refusal_of) {
            Ok(_) => self.n_counted += 1,
            Err(None) => self.n_repeated += 1,
            Err(Some(refusal)) => self.refuse(&refusal, &format!("the window from {}", total.window_start)),
        }
    }

    fn refuse(&mut self, refusal: &Refusal, place: &str) {
        self.n_refused += 1;
        if self.n_refused <= REFUSALS_TOLD_MAX {
            tracing::warn!(
                place,
                reason = refusal.reason.name(),
                detail = refusal.detail,
                "a request total is refused"
            );
        }
    }
}
