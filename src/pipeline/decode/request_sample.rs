//! Samples of ordinary requests: one in so many of those that did not panic.
//!
//! Reads `request-sample.v1`, a record, an array or a line each: the keys of `panic-event.v1` without the panic, and
//! `sample_rate`, through the very reader of canonical events; gives [`Piece::Sample`]. A sample tells of no panic: it says
//! who is served, and what requests look like when all is well.
//!
//! `sample_rate` is the share of requests that is told of (`0.05`), or the N of 1 in N (`20`): 1 is every request in both
//! readings. What stands for more than [`ONE_IN_MAX`] requests is refused, since one record must not outweigh all others.
//! A record with a `panic` is refused: it is an event, and belongs where events are read.
//!
//! Limits: those of canonical events and of [`items`]. Cost: that of a canonical event.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::canonical::{Wire, missing, wire_of};
use super::field::Id;
use super::found::Find;
use super::reader::{Entry, Leaf, Object};
use super::trace::Fault;
use super::{Piece, Refusal, items};
use crate::pipeline::event::Reason;

/// Most requests that one sample may stand for: a producer that tells of fewer than one in a million says nothing.
pub const ONE_IN_MAX: u32 = 1_000_000;

/// How many requests a sample stands for.
#[derive(Clone, Copy)]
struct OneIn;

const RATE: Fault = Fault::Value("a share from 0.000001 to 1, or the N of 1 in N, at most 1000000, is needed");

impl Leaf<'_> for OneIn {
    type Out = u32;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u32, Fault> {
        u32::try_from(number).ok().filter(|number| (1..=ONE_IN_MAX).contains(number)).ok_or(RATE)
    }

    fn number(self, number: f64) -> Result<u32, Fault> {
        // No comparison with what is no number holds, and a share below the least one is above the greatest N.
        let one_in = if number < 1.0 { (1.0 / number).round() } else { number.round() };
        if !(number > 0.0 && one_in <= f64::from(ONE_IN_MAX)) {
            return Err(RATE);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, from 1 to 1,000,000")]
        let one_in = one_in as u32;
        Ok(one_in)
    }
}

/// A sample as it stands on the wire.
#[derive(Default)]
struct SampleWire<'a> {
    sample_id: Option<Cow<'a, str>>,
    one_in: Option<u32>,
    event: Wire<'a>,
}

/// Its own keys; those of an event follow.
const OWN: [&str; 2] = ["sample_id", "sample_rate"];
const EVENTS: &[&str] = <Wire<'static> as Object<'static>>::KEYS;
const KEYS: [&str; OWN.len() + EVENTS.len()] = joined(&OWN, EVENTS);

const fn joined<const N: usize>(mut first: &[&'static str], mut second: &[&'static str]) -> [&'static str; N] {
    let mut all = [""; N];
    let mut slots: &mut [&'static str] = &mut all;
    while let Some((slot, rest)) = slots.split_first_mut() {
        if let Some((key, others)) = first.split_first() {
            (*slot, first) = (*key, others);
        } else if let Some((key, others)) = second.split_first() {
            (*slot, second) = (*key, others);
        }
        slots = rest;
    }
    all
}

impl<'de> Object<'de> for SampleWire<'de> {
    const AT: &'static str = "";
    const KEYS: &'static [&'static str] = &KEYS;

    fn read<A: MapAccess<'de>>(&mut self, key: usize, value: &mut Entry<'_, '_, A>) -> Result<(), A::Error> {
        match key.checked_sub(OWN.len()) {
            Some(key) => self.event.read(key, value)?,
            None if key == 0 => self.sample_id = value.leaf(Id)?,
            None => self.one_in = value.leaf(OneIn)?,
        }
        Ok(())
    }
}

/// Reads one record.
///
/// Errors: what is no JSON, and a sample that lacks something or tells of a panic.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    items::each(payload, find, |text, find| {
        let (SampleWire { sample_id, one_in, event }, trace) = wire_of::<SampleWire<'_>>(text)?;
        if event.tells_of_panic() {
            let detail = "panic: a sample is of a request that did not panic, and this one has the key".to_owned();
            return Err(Refusal { reason: Reason::BadValue, detail });
        }
        let one_in = one_in.ok_or_else(|| missing("sample_rate", "a number"))?;
        let (mut request, sent_at) = event.settle_request()?;
        if let Some(id) = sample_id {
            request.event_id = id;
        }
        request.notes = trace.notes();
        let request = find.complete(request, Some(sent_at))?;
        find.piece(Piece::Sample { request, one_in });
        Ok(())
    })
}

#[cfg(test)]
mod tests;
