//! Any bytes of the two Logpush data sets are read or refused with a reason; a panic and its request find each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::decode::{Feed, decode};
use panicsift_fuzz::pipeline::event::{Carrier, Millis, Position, RawRecord};
use panicsift_fuzz::pipeline::gather::{Gather, GatherPolicy};

fuzz_target!(|payload: &[u8]| {
    let position = Position { topic: "fuzz", partition: 0, offset: 0 };
    let record = RawRecord { position, broker_time: Some(Millis(1_795_000_000_000)), headers: &[], payload };
    let mut gather = Gather::default();
    let policy = GatherPolicy::FILES;
    for carrier in [Carrier::CloudflareLogpush, Carrier::CloudflareHttpRequests] {
        let feed = Feed { carrier: Some(carrier), service: "fuzz".to_owned(), ..Feed::default() };
        let decoded = decode(&feed, record);
        if let Some(refusal) = decoded.refusal {
            assert!(refusal.detail.len() <= 400, "{}", refusal.detail);
            assert!(!refusal.detail.chars().any(char::is_control));
        }
        for piece in decoded.pieces {
            gather.take(&policy, position, piece);
        }
    }
    gather.flush();
    assert!(gather.is_empty());
});
