//! Which numbered records were asked for lately, so that a walk along the numbers shows.
//!
//! An owner asks for its own record; whoever wants everybody's goes along the numbers, and a botnet shares them out so
//! that no address asks for many. What gives both away is that records next to each other are asked for within the hour.
//!
//! Reads [`RecordNumber`]s, which are keyed names of blocks of sixteen numbers with a place in the block; gives how many
//! other numbers of a block were asked for. Which of the sixteen they are is blinded by the block's name, so that no number
//! can be told from what is kept, and none is compared across blocks.
//!
//! Two generations: the young one grows old after [`GENERATION_MILLIS`], or when it is full, and the old one is forgotten.
//! So a number is remembered for half an hour to a whole one, and a flood of numbers makes that shorter and nothing else.
//! Whoever asks for one record in half an hour is not seen here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::by_id::IdMap;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::fingerprint::RecordNumber;

/// How long a generation is young, in event time.
const GENERATION_MILLIS: i64 = 30 * Millis::MINUTE;
/// Blocks in one generation.
const BLOCKS_MAX: usize = 8_192;

/// Which block of which generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockKey {
    generation: u64,
    block: Id,
}

/// What was asked for of a block, a bit each, and when its generation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    asked: u16,
    since: Millis,
}

/// What was asked for of a block, a bit each: now, and when it was last stored.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    now: u16,
    stored: u16,
}

/// One generation.
#[derive(Debug, Default)]
struct Generation {
    number: u64,
    since: Millis,
    blocks: IdMap<Asked>,
}

impl Generation {
    /// Blocks that stand otherwise than they are stored.
    fn take_changed(&mut self) -> impl Iterator<Item = (BlockKey, Option<Block>)> + '_ {
        let (generation, since) = (self.number, self.since);
        self.blocks.iter_mut().filter(|(_, asked)| asked.now != asked.stored).map(move |(block, asked)| {
            asked.stored = asked.now;
            (BlockKey { generation, block: *block }, Some(Block { asked: asked.now, since }))
        })
    }
}

/// A memory of numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    young: Generation,
    old: Generation,
    /// Stored blocks of generations that are forgotten.
    gone: Vec<BlockKey>,
}

impl Numbers {
    /// Remembers that the number `asked` (at the place that is mixed into its block) was asked for at `now`; gives how many
    /// others of its block were, 0 to 15.
    pub fn ask(&mut self, asked: RecordNumber, now: Millis) -> u32 {
        let RecordNumber { block, place } = asked;
        let bit = 1_u16 << ((u64::from(place) ^ block.0) & 15);
        if self.young.blocks.is_empty() {
            self.young.since = now;
        } else if now.since(self.young.since) >= GENERATION_MILLIS || self.young.blocks.len() >= BLOCKS_MAX {
            self.grow_old(now);
        }
        let young = self.young.blocks.entry(block).or_default();
        let others = young.now | self.old.blocks.get(&block).map_or(0, |old| old.now);
        young.now |= bit;
        (others & !bit).count_ones()
    }

    fn grow_old(&mut self, now: Millis) {
        let next = Generation { number: self.young.number + 1, since: now, blocks: IdMap::default() };
        let young = std::mem::replace(&mut self.young, next);
        let old = std::mem::replace(&mut self.old, young);
        self.forget(&old);
        if now.since(self.old.since) >= 2 * GENERATION_MILLIS {
            let old = std::mem::take(&mut self.old);
            self.forget(&old);
        }
    }

    fn forget(&mut self, Generation { number, blocks, .. }: &Generation) {
        let stored = blocks.iter().filter(|(_, asked)| asked.stored != 0);
        self.gone.extend(stored.map(|(block, _)| BlockKey { generation: *number, block: *block }));
    }

    /// The blocks that changed since the last call; `None` where one is forgotten. Cost: a look at each block.
    pub fn take_changed(&mut self) -> Vec<(BlockKey, Option<Block>)> {
        let gone = self.gone.drain(..).map(|key| (key, None));
        let mut changed: Vec<_> = gone.chain(self.old.take_changed()).chain(self.young.take_changed()).collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        changed
    }

    /// Rebuilds a memory from its blocks: the two latest generations of them.
    pub fn restore(blocks: BTreeMap<BlockKey, Block>) -> Self {
        let mut numbers = Self::default();
        let Some(latest) = blocks.keys().next_back().map(|key| key.generation) else { return numbers };
        numbers.young.number = latest;
        numbers.old.number = latest.saturating_sub(1);
        for (key, Block { asked, since }) in blocks {
            let generation = match key.generation {
                number if number == latest => &mut numbers.young,
                number if number == numbers.old.number => &mut numbers.old,
                _ => {
                    numbers.gone.push(key);
                    continue;
                }
            };
            generation.since = since;
            generation.blocks.insert(key.block, Asked { now: asked, stored: asked });
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::enrich::ScopeTier;
    use crate::pipeline::judge::tests::{AFTER, honest, is_suspect, keep, keyed, model, ordinary_day};
    use crate::pipeline::judge::{Actor, Record};
    use crate::pipeline::observation::{Observation, TokenUse};

    fn number(n: u64) -> RecordNumber {
        RecordNumber { block: keyed(n >> 4), place: u8::try_from(n & 15).unwrap() }
    }

    const MINUTE: i64 = Millis::MINUTE;

    #[test]
    fn others_of_the_same_sixteen_count_while_they_are_remembered() {
        let mut numbers = Numbers::default();
        let mut ask = |n, minute| numbers.ask(number(n), Millis(minute * MINUTE));
        assert_eq!([ask(32, 0), ask(33, 0), ask(47, 0), ask(48, 0), ask(33, 1)], [0, 1, 2, 0, 2]);
        assert_eq!(ask(34, 31), 3, "the old generation counts");
        assert_eq!(ask(35, 62), 1, "what is older does not");
        assert_eq!(ask(36, 200), 0, "and nothing does after a long silence");
    }

    #[test]
    fn a_flood_of_numbers_makes_the_memory_shorter_and_no_larger() {
        let mut numbers = Numbers::default();
        let mut rows = BTreeMap::new();
        numbers.ask(number(3), Millis(0));
        for n in 0..5 * BLOCKS_MAX as u64 {
            numbers.ask(number(1_000 + 16 * n), Millis(1));
            if n % 1_000 == 0 {
                store(&mut rows, &mut numbers);
            }
        }
        store(&mut rows, &mut numbers);
        assert!(rows.len() <= 2 * BLOCKS_MAX, "{} rows", rows.len());
        assert_eq!(numbers.ask(number(4), Millis(2)), 0);
    }

    fn store(rows: &mut BTreeMap<BlockKey, Block>, numbers: &mut Numbers) {
        for (key, block) in numbers.take_changed() {
            match block {
                Some(block) => rows.insert(key, block),
                None => rows.remove(&key),
            };
        }
    }

    #[test]
    fn a_restart_forgets_no_number_and_leaves_no_row() {
        let (mut numbers, mut rows) = (Numbers::default(), BTreeMap::new());
        for n in 0..4_000_u64 {
            let now = Millis(i64::try_from(n).unwrap() * 3 * Millis::SECOND);
            let asked = number(keyed(n).0 % 3_000);
            if n % 70 == 0 {
                store(&mut rows, &mut numbers);
                let mut again = Numbers::restore(rows.clone());
                assert_eq!(again.take_changed(), []);
                assert_eq!(again.ask(asked, now), numbers.ask(asked, now), "{n}");
            } else {
                numbers.ask(asked, now);
            }
        }
        store(&mut rows, &mut numbers);
        assert_eq!(rows.len(), numbers.young.blocks.len() + numbers.old.blocks.len());
    }

    /// The `n`th record that `who` asks for.
    fn asking(who: u64, n: u64, record: u64, second: i64) -> Observation<'static> {
        let mut o = honest(who, n, second);
        o.traits.record = Some(number(record));
        o
    }

    fn settled(asked: impl Iterator<Item = Observation<'static>>) -> (Record, Vec<Observation<'static>>) {
        let (mut record, model) = (Record::default(), model());
        ordinary_day(&mut record, &model);
        let asked: Vec<_> = asked.collect();
        for o in &asked {
            record.observe(o);
        }
        record.close_epoch(&model, asked.last().unwrap().time.plus(500));
        (record, asked)
    }

    fn walked(record: &Record, o: &Observation<'_>) -> u32 {
        record.actors().find(|(actor, _)| **actor == o.actor).unwrap().1.walked
    }

    #[test]
    fn a_botnet_that_shares_out_a_walk_is_suspect_and_owners_of_records_in_a_row_are_not() {
        // Twenty addresses, eight records each of 160 in a row, in no order.
        let walk =
            (0..160_u64).map(|n| asking(5_000 + n % 20, n, 4_096 + n * 37 % 160, AFTER + i64::try_from(n).unwrap()));
        let (record, asked) = settled(walk);
        let n_suspects = asked.iter().filter(|o| is_suspect(&record, o)).count();
        assert!(n_suspects >= 140, "{n_suspects} of 160");

        // As many records in a row, each asked for by its owner alone, four times.
        let owners = (0..320_u64).map(|n| asking(5_000 + n / 4, 0, 4_096 + n / 4, AFTER + i64::try_from(n).unwrap()));
        let (record, asked) = settled(owners);
        assert!(asked.iter().all(|o| walked(&record, o) == 0 && !is_suspect(&record, o)));
    }

    #[test]
    fn whoever_shows_an_accepted_token_may_go_along_its_records() {
        let token =
            |valid| TokenUse { id: Some(keyed(9)), valid: Some(valid), tier: ScopeTier::Unknown, scopes: "".into() };
        for (valid, walks) in [(true, false), (false, true)] {
            let walk = (0..16_u64).map(|n| Observation {
                actor: Actor::Token(keyed(9)),
                token: Some(token(valid)),
                ..asking(7, n, 4_096 + n, AFTER)
            });
            let (record, asked) = settled(walk);
            assert_eq!(walked(&record, &asked[0]) > 2_000, walks, "{valid}");
        }
    }

    #[test]
    fn what_a_walker_was_seen_to_do_survives_a_restart() {
        let (mut record, model) = (Record::default(), model());
        let mut rows = BTreeMap::new();
        let walk =
            |range: std::ops::Range<u64>| range.map(|n| asking(7, n, 4_096 + n, AFTER + i64::try_from(n).unwrap()));
        for o in walk(0..8) {
            record.observe(&o);
        }
        keep(&mut rows, &mut record);
        let (mut again, unreadable) =
            Record::restore(rows.iter().map(|((kind, key), value)| (*kind, key.as_slice(), value.as_slice())));
        assert_eq!(unreadable, 0);
        for record in [&mut record, &mut again] {
            for o in walk(8..12) {
                record.observe(&o);
            }
            record.close_epoch(&model, Millis((AFTER + 60) * 1_000));
        }
        let o = asking(7, 0, 0, 0);
        assert!(walked(&record, &o) > 0);
        assert_eq!(walked(&record, &o), walked(&again, &o));
    }
}
