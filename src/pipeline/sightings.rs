//! When the events of a cluster happened, read out of a store without the rest of what is remembered.
//!
//! Reads the beginning of each cell's row (count, first, last, [`Minutes`]; the samples behind it are most of its bytes
//! and stay unread) and the ledgers of the suspects; gives for the shares of a cluster how many of its events lie in a
//! stretch of time. A cell knows its last hour by the minute and its last 48 hours by the hour, so the answer is a
//! [`Reckoning`]: the two ends are equal where it can be told, and lie apart by what could be in or out.
//!
//! A suspect's share of a cell is known by its number, its first and its last event alone. Cells that were forgotten
//! are not there, and neither are their events. Costs some microseconds a cell; 8,192 cells are read in some 50 ms.

use std::collections::BTreeMap;
use std::ops::{Add, Range};

use serde::Deserialize;

use super::cluster::RowKey;
use super::event::Millis;
use super::judge::actors::Touch;
use super::judge::stored::touches;
use super::observation::{Actor, CellKey};
use super::sample::Minutes;

/// Bytes of a row's key that name the tenant.
const TENANT_BYTES: usize = 8;

/// Key and value of a row.
type Stored = Vec<(Vec<u8>, Vec<u8>)>;

/// A number of events, as far as it can be told: at least, and at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reckoning {
    /// At least so many.
    pub low: u64,
    /// At most so many.
    pub high: u64,
}

impl Reckoning {
    /// Exactly so many.
    pub fn exactly(n: u64) -> Self {
        Self { low: n, high: n }
    }

    /// The number, where it can be told.
    pub fn exact(self) -> Option<u64> {
        (self.low == self.high).then_some(self.low)
    }

    /// What is left without some of them.
    fn without(self, some: Self) -> Self {
        Self { low: self.low.saturating_sub(some.high), high: self.high.saturating_sub(some.low) }
    }

    /// `n` events somewhere in `lies`: how many in `wanted`.
    fn of(n: u64, lies: &Range<Millis>, wanted: &Range<Millis>) -> Self {
        let apart = lies.end <= wanted.start || lies.start >= wanted.end;
        let inside = lies.start >= wanted.start && lies.end <= wanted.end;
        match (apart, inside) {
            (true, _) => Self::default(),
            (false, true) => Self::exactly(n),
            (false, false) => Self { low: 0, high: n },
        }
    }
}

impl Add for Reckoning {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { low: self.low.saturating_add(other.low), high: self.high.saturating_add(other.high) }
    }
}

/// What the row of a cell begins with, in the order in which [`super::cell::Cell`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct CellTimes {
    n: u64,
    first: Millis,
    last: Millis,
    minutes: Minutes,
}

impl CellTimes {
    /// How many of its events lie in `wanted`.
    fn within(&self, wanted: &Range<Millis>) -> Reckoning {
        let whole = self.first..self.last.plus(1);
        let told = Reckoning::of(self.n, &whole, wanted);
        if told.exact().is_some() {
            return told;
        }
        let part = |n: u64, start: i64, end: i64| {
            let lies = Millis(start).max(whole.start)..Millis(end).min(whole.end);
            Reckoning::of(n, &lies, wanted)
        };
        let by_minute_from = self.minutes.minutes().next().map_or(i64::MAX, |(minute, _)| minute * Millis::MINUTE);
        let mut sum = Reckoning::default();
        // The minutes kept lie in two hours, or in one.
        let mut by_hour: Vec<(i64, u64)> = Vec::with_capacity(2);
        for (minute, n) in self.minutes.minutes() {
            let start = minute.saturating_mul(Millis::MINUTE);
            sum = sum + part(u64::from(n), start, start.saturating_add(Millis::MINUTE));
            match by_hour.last_mut().filter(|(hour, _)| *hour == minute.div_euclid(60)) {
                Some((_, known)) => *known += u64::from(n),
                None => by_hour.push((minute.div_euclid(60), u64::from(n))),
            }
        }
        let mut n_dated = 0_u64;
        for (hour, n) in self.minutes.hours() {
            let start = hour.saturating_mul(Millis::HOUR);
            let known = by_hour.iter().find(|(known, _)| *known == hour).map_or(0, |(_, n)| *n);
            let end = start.saturating_add(Millis::HOUR).min(by_minute_from);
            sum = sum + part(u64::from(n).saturating_sub(known), start, end);
            n_dated = n_dated.saturating_add(u64::from(n));
        }
        let dated_from = self.minutes.hours().next().map_or(i64::MAX, |(hour, _)| hour.saturating_mul(Millis::HOUR));
        let Reckoning { low, high } = sum + part(self.n.saturating_sub(n_dated), i64::MIN, dated_from);
        // The first and the last event are known to the millisecond.
        let n_ends_inside = [self.first, self.last].iter().filter(|end| wanted.contains(end)).count();
        let n_ends_outside = if n_ends_inside > 0 || self.first == self.last { 1 } else { 2 };
        let high = high.min(self.n.saturating_sub(n_ends_outside));
        Reckoning { low: low.max(u64::from(n_ends_inside > 0)), high }
    }
}

/// What a cluster has of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// The cell.
    pub cell: CellKey,
    /// Whose events they are; `None`: everybody's but the suspects'.
    pub of: Option<Actor>,
}

/// What is known of the events of some shares in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Events ever.
    pub events: u64,
    /// First event ever.
    pub first: Option<Millis>,
    /// Last event ever.
    pub last: Option<Millis>,
}

/// When the events of cells, and of the suspects' shares of them, happened.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    cells: BTreeMap<CellKey, CellTimes>,
    touches: BTreeMap<CellKey, BTreeMap<Actor, Touch>>,
    /// The cells that a suspect touched.
    by_actor: BTreeMap<Actor, Vec<CellKey>>,
}

impl Sightings {
    /// Reads them; `load` gives the rows of a kind, `load_one` the value of one row. Also gives how many rows could not
    /// be read.
    ///
    /// # Errors
    /// Those of `load` and `load_one`.
    pub fn read<E>(
        load: impl Fn(&str) -> Result<Stored, E>,
        load_one: impl Fn(&str, &[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(Self, usize), E> {
        let (mut sightings, mut n_unreadable) = (Self::default(), 0);
        for (key, value) in load("cell")? {
            let key = key.get(TENANT_BYTES..).and_then(|key| postcard::from_bytes::<CellKey>(key).ok());
            match (key, postcard::take_from_bytes::<CellTimes>(&value)) {
                (Some(key), Ok((times, _))) => drop(sightings.cells.insert(key, times)),
                _ => n_unreadable += 1,
            }
        }
        for (key, _) in load("suspect")? {
            let actor = key.get(TENANT_BYTES..).and_then(|key| postcard::from_bytes::<Actor>(key).ok());
            let Some(actor) = actor else { continue };
            let Some(value) = load_one("actor", &key)? else { continue };
            let Some(touches) = touches(&value) else {
                n_unreadable += 1;
                continue;
            };
            for (cell, touch) in touches.iter().map(|(cell, touch)| (*cell, *touch)) {
                sightings.touches.entry(cell).or_default().insert(actor, touch);
                sightings.by_actor.entry(actor).or_default().push(cell);
            }
        }
        Ok((sightings, n_unreadable))
    }

    /// The shares of what a cluster is made of: cells as they are, suspects with every cell that they touched.
    pub fn shares(&self, rows: &[RowKey]) -> Vec<Share> {
        let mut shares = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                RowKey::Cell(cell) => shares.push(Share { cell: *cell, of: None }),
                RowKey::Sender(_, actor) => {
                    let cells = self.by_actor.get(actor).into_iter().flatten();
                    shares.extend(cells.map(|cell| Share { cell: *cell, of: Some(*actor) }));
                }
            }
        }
        shares
    }

    /// How many events of these shares lie in `wanted`.
    pub fn within(&self, shares: &[Share], wanted: &Range<Millis>) -> Reckoning {
        shares.iter().fold(Reckoning::default(), |sum, share| sum + self.of_share(share, wanted))
    }

    fn of_share(&self, share: &Share, wanted: &Range<Millis>) -> Reckoning {
        let Some(cell) = self.cells.get(&share.cell) else { return Reckoning::default() };
        let all = cell.within(wanted);
        let suspects = self.touches_of(share).fold(Reckoning::default(), |sum, touch| {
            sum + Reckoning::of(u64::from(touch.events), &(touch.first..touch.last.plus(1)), wanted)
        });
        let suspects = Reckoning { low: suspects.low.min(all.high), high: suspects.high.min(all.high) };
        if share.of.is_some() { suspects } else { all.without(suspects) }
    }

    /// What the suspect of a share did in its cell; of a share without one, what all suspects did there.
    fn touches_of(&self, share: &Share) -> impl Iterator<Item = &Touch> {
        let of = share.of;
        let touches = self.touches.get(&share.cell).into_iter().flatten();
        touches.filter(move |(actor, _)| of.is_none_or(|of| of == **actor)).map(|(_, touch)| touch)
    }

    /// What is known of some shares over all time. The first and last event of a cell that suspects have a share of are
    /// the cell's, whosever they were.
    pub fn ever(&self, shares: &[Share]) -> Sighting {
        let mut sum = Sighting::default();
        for share in shares {
            let Some(cell) = self.cells.get(&share.cell) else { continue };
            let n_suspects = self.touches_of(share).map(|touch| u64::from(touch.events)).sum::<u64>().min(cell.n);
            let (events, first, last) = if share.of.is_some() {
                let first = self.touches_of(share).map(|touch| touch.first).min();
                (n_suspects, first, self.touches_of(share).map(|touch| touch.last).max())
            } else {
                (cell.n - n_suspects, Some(cell.first), Some(cell.last))
            };
            sum.events = sum.events.saturating_add(events);
            sum.first = sum.first.into_iter().chain(first).min();
            sum.last = sum.last.max(last);
        }
        sum
    }

    /// Whether anything is known of these shares: cells that were forgotten are not.
    pub fn knows(&self, shares: &[Share]) -> bool {
        shares.iter().any(|share| self.cells.contains_key(&share.cell))
    }
}

#[cfg(test)]
mod tests;
