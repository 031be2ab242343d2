//! Any lines of logs are decoded and gathered; nothing panics, and nothing is held in the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::decode::{Feed, decode};
use panicsift_fuzz::pipeline::event::{Carrier, Millis, Position, RawRecord};
use panicsift_fuzz::pipeline::gather::{Gather, GatherPolicy};

fuzz_target!(|bytes: &[u8]| {
    let feed = Feed { carrier: Some(Carrier::Text), service: "fuzz".to_owned(), tenant: String::new(), time: None };
    let policy = GatherPolicy::FILES;
    let mut gather = Gather::default();
    // The whole as one record, and its lines as one record each; a second passes with each.
    let whole = std::iter::once(bytes);
    let lines = bytes.split(|byte| *byte == b'\n');
    for (offset, payload) in (0..).zip(whole.chain(lines).take(2_048)) {
        let position = Position { topic: "fuzz", partition: 0, offset };
        let broker_time = Some(Millis(1_795_000_000_000 + offset * 300));
        let decoded = decode(&feed, RawRecord { position, broker_time, headers: &[], payload });
        if let Some(refusal) = decoded.refusal {
            assert!(refusal.detail.len() <= 400, "{}", refusal.detail);
            assert!(!refusal.detail.chars().any(char::is_control));
        }
        for piece in decoded.pieces {
            gather.take(&policy, position, piece);
        }
        if offset % 7 == 0 {
            gather.whole(None);
        }
    }
    gather.flush();
    assert!(gather.is_empty());
});
