//! Any bytes that are said to be `CloudEvents` are read or refused; nothing panics, and a refusal never repeats them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::decode::{Feed, decode};
use panicsift_fuzz::pipeline::event::{Header, Millis, Position, RawRecord};

fuzz_target!(|payload: &[u8]| {
    let position = Position { topic: "fuzz", partition: 0, offset: 0 };
    let name = "application/cloudevents+json".to_owned();
    let headers = [Header { name: "content-type".to_owned(), value: name }];
    let record = RawRecord { position, broker_time: Some(Millis(1_795_000_000_000)), headers: &headers, payload };
    let feed = Feed { service: "fuzz".to_owned(), ..Feed::default() };
    let decoded = decode(&feed, record);
    assert_eq!(decoded, decode(&feed, record), "the same bytes tell the same");
    if let Some(refusal) = decoded.refusal {
        assert!(refusal.detail.len() <= 400, "{}", refusal.detail);
        assert!(!refusal.detail.chars().any(char::is_control));
    }
});
