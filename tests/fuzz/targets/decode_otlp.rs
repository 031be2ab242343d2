//! Any bytes of a topic of OTLP are read or refused; nothing panics, and a refusal never repeats the record's text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::decode::{Feed, decode};
use panicsift_fuzz::pipeline::event::{Carrier, Millis, Position, RawRecord};

fuzz_target!(|payload: &[u8]| {
    let position = Position { topic: "fuzz", partition: 0, offset: 0 };
    let record = RawRecord { position, broker_time: Some(Millis(1_795_000_000_000)), headers: &[], payload };
    let feed = Feed { carrier: Some(Carrier::Otlp), service: "fuzz".to_owned(), ..Feed::default() };
    let decoded = decode(&feed, record);
    assert_eq!(decoded, decode(&feed, record), "the same bytes tell the same");
    if let Some(refusal) = decoded.refusal {
        assert!(refusal.detail.len() <= 400, "{}", refusal.detail);
        assert!(!refusal.detail.chars().any(char::is_control));
    }
});
