//! Sentry.
use super::super::{Decoded, Feed, decode};
use crate::pipeline::event::{Carrier, PanicEvent, Position, RawRecord, Reason};

fn read(payload: &[u8]) -> Decoded<'_> {
    let position = Position { topic: "sentry", partition: 0, offset: 7 };
    decode(&Feed::default(), RawRecord { position, broker_time: None, headers: &[], payload })
}

#[test]
fn show() {
    for payload in [
        include_bytes!("../../../../tests/data/carriers/sentry/event_array.json").as_slice(),
        include_bytes!("../../../../tests/data/carriers/sentry/envelope_0.txt"),
        include_bytes!("../../../../tests/data/carriers/sentry/envelope_1.txt"),
        include_bytes!("../../../../tests/data/carriers/sentry/envelope_2.txt"),
    ] {
        println!("{:#?}", read(payload));
    }
}
