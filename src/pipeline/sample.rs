//! Bounded summaries of a multiset: which ids, how many of each, when, how long.
//!
//! Takes ids, times and durations one at a time; gives counts, sets and estimates. Every summary here is a function of
//! the *multiset* that was put in: the order of arrival and the way in which the input was split into parts that were
//! merged later change nothing, not one byte of the serialised form. That is what lets many workers count one stream.
//! All state is integers; decay happens when a weight is read and never to what is stored. Each type says its bound;
//! an insert costs a search in at most 64 entries and no allocation once full.

use serde::{Deserialize, Serialize};

use super::event::{Id, Millis};
use super::short_map::grow;

/// A set of keyed ids that keeps the `K` smallest: exact while fewer than `K` were seen, a uniform sample and an
/// estimate of the number above that.
///
/// The ids are keyed hashes, so their order is random to everybody outside. The `K` smallest of a union are among the
/// `K` smallest of its parts, hence order and partition do not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedSet<const K: usize> {
    smallest: Vec<Id>,
}

impl<const K: usize> KeyedSet<K> {
    /// Adds an id; true when the kept sample changed.
    pub fn insert(&mut self, id: Id) -> bool {
        if self.smallest.len() >= K && self.smallest.last().is_none_or(|last| *last <= id) {
            return false;
        }
        match self.smallest.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                // What is pushed out makes the room.
                self.smallest.truncate(K.saturating_sub(1));
                grow(&mut self.smallest);
                self.smallest.insert(at, id);
                true
            }
        }
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Self) {
        for id in &other.smallest {
            // They ascend: from here on none has room.
            if self.smallest.len() >= K && self.smallest.last().is_none_or(|last| *last <= *id) {
                break;
            }
            self.insert(*id);
        }
    }

    /// Whether the sample is the whole set (fewer than `K` distinct ids were seen).
    fn is_exact(&self) -> bool {
        self.smallest.len() < K
    }

    /// The number of distinct ids: exact below `K`, else the k-minimum-values estimate `(K − 1) / (K-th smallest /
    /// 2^64)`, whose relative standard error is about `1 / √(K − 2)` (Bar-Yossef et al. 2002).
    pub fn len_estimate(&self) -> u64 {
        let kept = u64::try_from(self.smallest.len()).unwrap_or(u64::MAX);
        match self.smallest.last() {
            Some(Id(largest)) if !self.is_exact() && kept > 1 => {
                let estimate = (u128::from(kept - 1) << 64) / u128::from((*largest).max(1));
                u64::try_from(estimate).unwrap_or(u64::MAX).max(kept)
            }
            _ => kept,
        }
    }

    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.smallest.is_empty()
    }

    /// Whether the sample holds the id (an id outside an inexact sample may have been seen all the same).
    pub fn contains(&self, id: Id) -> bool {
        self.smallest.binary_search(&id).is_ok()
    }

    /// The kept ids, smallest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Id> {
        self.smallest.iter().copied()
    }
}

/// Counts per id for the `K` ids with the smallest mixed hash; all other events are in [`KeyedCounts::other`].
///
/// Why only the multiset matters: mixing is a bijection, so the ids have one fixed order. An id leaves the table when
/// `K` ids before it in that order have been seen, which then stays true; so an id of the final `K` was never evicted
/// and its count is complete. The final `K` are the first `K` of all ids seen, and `other` is the total less their
/// counts, since an evicted count moves there. (Counts saturate at `u64::MAX`, which no stream reaches.)
/// Its limit: which ids are kept has nothing to do with how frequent they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedCounts<const K: usize> {
    kept: Vec<(u64, u64)>,
    other: u64,
}

impl<const K: usize> KeyedCounts<K> {
    /// Counts one event of `id`.
    pub fn add(&mut self, id: u64) {
        self.add_many(id, 1);
    }

    /// Counts `events` events of `id`.
    pub fn add_many(&mut self, id: u64, events: u64) {
        if let Some((_, count)) = self.kept.iter_mut().find(|(kept, _)| *kept == id) {
            *count = count.saturating_add(events);
            return;
        }
        let rank = mix(id);
        let at = self.kept.partition_point(|(kept, _)| mix(*kept) < rank);
        if at >= K {
            self.other = self.other.saturating_add(events);
            return;
        }
        if self.kept.len() >= K
            && let Some((_, evicted)) = self.kept.pop()
        {
            self.other = self.other.saturating_add(evicted);
        }
        grow(&mut self.kept);
        self.kept.insert(at, (id, events));
    }

    /// Adds all of another summary.
    pub fn merge(&mut self, other: &Self) {
        self.other = self.other.saturating_add(other.other);
        for (id, events) in &other.kept {
            self.add_many(*id, *events);
        }
    }

    /// Kept ids with their counts, in the fixed mixed order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.kept.iter().copied()
    }

    /// Events of `id`; 0 for an id that is not kept.
    pub fn get(&self, id: u64) -> u64 {
        self.kept.iter().find(|(kept, _)| *kept == id).map_or(0, |(_, count)| *count)
    }

    /// Events whose id is not kept.
    pub fn other(&self) -> u64 {
        self.other
    }

    /// All events.
    pub fn total(&self) -> u64 {
        self.kept.iter().fold(self.other, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// A bijection of 64 bits that spreads neighbouring numbers (the finaliser of `SplitMix64`). Not keyed: it orders ids,
/// it hides nothing.
pub fn mix(id: u64) -> u64 {
    let z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Minutes that are kept one by one, back from the newest event.
pub const MINUTES_KEPT: i64 = 60;
/// Hours that are kept one by one, back from the newest event.
pub const HOURS_KEPT: i64 = 48;

/// When events happened: counts by minute over the last 60 minutes and by hour over the last 48 hours, both relative
/// to the newest event.
///
/// An event outside the window of the newest event is not counted. The window only moves forward, so what is dropped
/// early would have been dropped at the end: the content depends on the multiset alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minutes {
    minutes: Vec<(i64, u32)>,
    hours: Vec<(i64, u32)>,
}

impl Minutes {
    /// Counts an event.
    pub fn add(&mut self, time: Millis) {
        count_in_window(&mut self.minutes, time.0.div_euclid(Millis::MINUTE), 1, MINUTES_KEPT);
        count_in_window(&mut self.hours, time.0.div_euclid(Millis::HOUR), 1, HOURS_KEPT);
    }

    /// Adds all of another summary.
    pub fn merge(&mut self, other: &Self) {
        for (minute, count) in &other.minutes {
            count_in_window(&mut self.minutes, *minute, *count, MINUTES_KEPT);
        }
        for (hour, count) in &other.hours {
            count_in_window(&mut self.hours, *hour, *count, HOURS_KEPT);
        }
    }

    /// (minute since the Unix epoch, events) of the last 60 minutes before the newest event, ascending; empty minutes
    /// are left out.
    pub fn minutes(&self) -> impl ExactSizeIterator<Item = (i64, u32)> {
        self.minutes.iter().copied()
    }

    /// (hour since the Unix epoch, events) of the last 48 hours before the newest event, ascending; empty hours are
    /// left out.
    pub fn hours(&self) -> impl ExactSizeIterator<Item = (i64, u32)> {
        self.hours.iter().copied()
    }

    /// The weight at `now`: every event counts `2^(−age / half_life)`, its age taken from the start of its minute, or
    /// from the middle of its hour where only that is known. Events after `now` count in full. `half_life_ms` below
    /// one millisecond is taken as one. Some 108 exponentials at most.
    pub fn weight(&self, now: Millis, half_life_ms: i64) -> f64 {
        let half_life = millis_f64(half_life_ms.max(1));
        let decayed = |start_ms: i64, count: u32| {
            let age = millis_f64(now.0.saturating_sub(start_ms).max(0));
            f64::from(count) * (-age / half_life).exp2()
        };
        let by_minute: f64 = self.minutes.iter().map(|(m, n)| decayed(m.saturating_mul(Millis::MINUTE), *n)).sum();
        let by_hour: f64 = self
            .hours
            .iter()
            .map(|(hour, count)| {
                let known: u32 = self
                    .minutes
                    .iter()
                    .filter(|(minute, _)| minute.div_euclid(60) == *hour)
                    .fold(0, |sum, (_, n)| sum.saturating_add(*n));
                decayed(hour.saturating_mul(Millis::HOUR).saturating_add(Millis::HOUR / 2), count.saturating_sub(known))
            })
            .sum();
        by_minute + by_hour
    }
}

/// Adds to the count of `bucket` in an ascending list and drops what lies `kept` or more buckets before the newest.
fn count_in_window(buckets: &mut Vec<(i64, u32)>, bucket: i64, count: u32, kept: i64) {
    let newest = buckets.last().map_or(bucket, |(last, _)| (*last).max(bucket));
    let oldest = newest.saturating_sub(kept - 1);
    if bucket < oldest {
        return;
    }
    match buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
        Ok(at) => {
            if let Some((_, n)) = buckets.get_mut(at) {
                *n = n.saturating_add(count);
            }
        }
        Err(at) => {
            grow(buckets);
            buckets.insert(at, (bucket, count));
        }
    }
    let gone = buckets.partition_point(|(b, _)| *b < oldest);
    buckets.drain(..gone);
}

/// Milliseconds as a float. Durations up to 2^53 ms (285,000 years) are exact; longer ones stop there.
pub fn millis_f64(ms: i64) -> f64 {
    const EXACT_MAX: i64 = 1 << 53;
    let clamped = ms.clamp(0, EXACT_MAX);
    let high = u32::try_from(clamped >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(clamped & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// A count as a float; exact up to 2^53, rounded beyond.
pub fn count_f64(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Latencies in bins of a quarter of an octave (each bound is at most 25 % above the one before): at most 128 bins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    bins: Vec<(u8, u32)>,
}

impl Latencies {
    /// Counts a latency.
    pub fn add(&mut self, latency_ms: u32) {
        self.add_many(latency_bin(latency_ms), 1);
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            self.add_many(*bin, *count);
        }
    }

    fn add_many(&mut self, bin: u8, count: u32) {
        match self.bins.binary_search_by_key(&bin, |(b, _)| *b) {
            Ok(at) => {
                if let Some((_, n)) = self.bins.get_mut(at) {
                    *n = n.saturating_add(count);
                }
            }
            Err(at) => {
                grow(&mut self.bins);
                self.bins.insert(at, (bin, count));
            }
        }
    }

    /// Latencies counted.
    pub fn total(&self) -> u64 {
        self.bins.iter().map(|(_, n)| u64::from(*n)).sum()
    }

    /// The lower bound, in milliseconds, of the bin in which the `permille`-th latency lies (500 is the median);
    /// `None` when nothing was counted. At most 25 % below the true value.
    pub fn quantile_ms(&self, permille: u32) -> Option<u32> {
        let rank = (self.total() * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        self.bins
            .iter()
            .find(|(_, n)| {
                seen += u64::from(*n);
                seen >= rank
            })
            .map(|(bin, _)| bin_start_ms(*bin))
    }
}

/// 0–3 ms have bins of their own; above, the bit length and the two bits after the leading one.
fn latency_bin(latency_ms: u32) -> u8 {
    let Some(exponent) = latency_ms.checked_ilog2().filter(|e| *e >= 2) else {
        return u8::try_from(latency_ms).unwrap_or(3);
    };
    let fraction = (latency_ms >> (exponent - 2)) & 3;
    u8::try_from((exponent - 1) * 4 + fraction).unwrap_or(u8::MAX)
}

fn bin_start_ms(bin: u8) -> u32 {
    if bin < 4 {
        return u32::from(bin);
    }
    let exponent = u32::from(bin / 4) + 1;
    (4 + u32::from(bin % 4)).checked_shl(exponent - 2).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
