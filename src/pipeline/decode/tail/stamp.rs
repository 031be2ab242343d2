//! Times of Cloudflare's records: numbers of several units, or texts.
//!
//! Reads a number by its size (seconds, milliseconds, microseconds, nanoseconds since the epoch: what Logpush can be
//! asked for, and what traces have) or RFC 3339. Never refuses: a time that makes no sense is no time, and the
//! broker's counts.

use std::borrow::Cow;

use super::super::reader::Leaf;
use super::super::trace::{Fault, Trace};
use crate::pipeline::event::Millis;

/// A time. `None` for 0 and for what is no time.
#[derive(Clone, Copy)]
pub(in super::super) struct Stamp;

/// From here on a number counts milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const MILLIS_MIN: u64 = 100_000_000_000;
/// From here on a number counts microseconds.
const MICROS_MIN: u64 = 1_000 * MILLIS_MIN;
/// From here on a number counts nanoseconds.
const NANOS_MIN: u64 = 1_000 * MICROS_MIN;

fn time(number: u64) -> Option<Millis> {
    let millis = match number {
        0 => return None,
        1..MILLIS_MIN => number.checked_mul(1_000)?,
        MILLIS_MIN..MICROS_MIN => number,
        MICROS_MIN..NANOS_MIN => number / 1_000,
        NANOS_MIN.. => number / 1_000_000,
    };
    i64::try_from(millis).ok().map(Millis)
}

impl<'de> Leaf<'de> for Stamp {
    type Out = Option<Millis>;
    const NEEDS: &'static str = "a time";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Ok(text.parse::<u64>().map_or_else(|_| Millis::parse(&text), time))
    }

    fn truth(self, _truth: bool) -> Result<Self::Out, Fault> {
        Ok(None)
    }

    fn whole(self, number: u64) -> Result<Self::Out, Fault> {
        Ok(time(number))
    }

    fn number(self, number: f64) -> Result<Self::Out, Fault> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within u64's range")]
        let whole = (1.0..1.0e19).contains(&number).then_some(number as u64);
        Ok(whole.and_then(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Millis> {
        let trace = Trace::default();
        let seed = super::super::super::reader::LeafSeed { trace: &trace, leaf: Stamp };
        let mut deserializer = serde_json::Deserializer::from_str(value);
        serde::de::DeserializeSeed::deserialize(seed, &mut deserializer).unwrap().flatten()
    }

    #[test]
    fn every_unit_is_told_by_its_size() {
        let expected = Some(Millis(1_795_330_796_612));
        for value in
            ["1795330796612", "1795330796612345", "1795330796612345678", "1795330796612.5", "\"1795330796612\""]
        {
            assert_eq!(read(value), expected, "{value}");
        }
        assert_eq!(read("\"2026-11-22T06:59:56.612Z\""), expected);
        assert_eq!(read("1795330796"), Some(Millis(1_795_330_796_000)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in ["0", "0.0", "-1", "1e300", "\"\"", "\"soon\"", "true", "null"] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
