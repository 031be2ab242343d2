//! OTLP as the published exporter writes it, and as nobody should.

use super::super::{Decoded, Feed, Piece, Refusal, decode};
use crate::pipeline::event::{Carrier, PanicEvent, Position, RawRecord, Reason};

const LOGS_JSON: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/logs.json");
const LOGS_PROTOBUF: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/logs.pb");
const TRACES_JSON: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/traces.json");
const TRACES_PROTOBUF: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/traces.pb");

fn read(payload: &[u8]) -> Decoded<'_> {
    let position = Position { topic: "otlp", partition: 0, offset: 7 };
    decode(&Feed::default(), RawRecord { position, broker_time: None, headers: &[], payload })
}

fn events(payload: &[u8]) -> Vec<PanicEvent<'_>> {
    let decoded = read(payload);
    assert_eq!(decoded.refusal, None);
    assert_eq!(decoded.carrier, Carrier::Otlp);
    decoded
        .pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Event(event) => event,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn show() {
    for payload in [LOGS_JSON, TRACES_JSON, LOGS_PROTOBUF, TRACES_PROTOBUF] {
        println!("{:#?}", events(payload));
    }
}
