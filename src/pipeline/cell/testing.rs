//! Observations for tests.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::pipeline::classify::{Bucket, Classified, Surface};
use crate::pipeline::enrich::{AddressKind, Network, ScopeTier};
use crate::pipeline::event::{Id, Millis, Position, RecoveryOutcome, ShapeId};
use crate::pipeline::fingerprint::{Format, Sketch, Traits};
use crate::pipeline::observation::{Actor, Aftermath, CellKey, Observation, Source, TokenUse};
use crate::pipeline::sample::mix;

pub(crate) fn id(n: u64) -> Id {
    Id(mix(n))
}

pub(crate) fn shape(n: u64) -> ShapeId {
    ShapeId((u128::from(mix(n ^ 0xabcd)) << 64) | u128::from(mix(n)))
}

pub(crate) fn key(service: u64, site: u64, route: u64, shape_number: u64) -> CellKey {
    CellKey { tenant: id(1), service: id(service), site: id(site), route: id(route), shape: shape(shape_number) }
}

/// An event whose facts vary with `n`.
pub(crate) fn event(n: u64, cell: CellKey) -> Observation<'static> {
    let address = Ipv4Addr::from(u32::try_from(n % 90).unwrap());
    Observation {
        position: Position { topic: "panics", partition: 0, offset: i64::try_from(n).unwrap() },
        event_id: Cow::Owned(format!("event-{n}")),
        event: id(n),
        time: Millis(i64::try_from(n * 37_000 % 500_000_000).unwrap()),
        clock_replaced: n.is_multiple_of(11),
        cell,
        actor: if n.is_multiple_of(3) { Actor::Token(id(n % 70)) } else { Actor::Unknown },
        tenant: Cow::Borrowed(""),
        service: Cow::Borrowed("api"),
        expected: n.is_multiple_of(17).then(|| Arc::from("load test")),
        route: Cow::Borrowed("GET /"),
        site: Arc::from("f (a.rs)"),
        release: Some(Cow::Owned(format!("1.{}", n % 12))),
        panic: Arc::new(Classified {
            class: format!("class-{}", n % 10),
            surface: Surface::Bounds,
            bucket: Bucket::NeverRetry,
            secondary: n.is_multiple_of(5),
            masked: String::new(),
        }),
        recovery: if n.is_multiple_of(2) { RecoveryOutcome::Recovered } else { RecoveryOutcome::Escaped },
        status: Some(500 + u16::try_from(n % 20).unwrap()),
        source: Source {
            address: Some(IpAddr::V4(address)),
            address_id: Some(id(n % 90)),
            prefix_id: Some(id(n % 30)),
            kind: AddressKind::Public,
            network: Network {
                asn: Some(u32::try_from(n % 40).unwrap()),
                organisation: None,
                country: Some([b'A', b'A' + u8::try_from(n % 20).unwrap()]),
            },
        },
        token: Some(TokenUse {
            id: None,
            valid: Some(n.is_multiple_of(2)),
            tier: ScopeTier::None,
            scopes: Arc::from("read write"),
        }),
        agent: None,
        agent_family: Some(id(n % 13)),
        agent_name: Cow::Borrowed("curl"),
        media_type: Some(id(n % 4)),
        idempotency: None,
        attempt: 1 + u32::try_from(n % 2).unwrap(),
        retry_succeeded: Some(n.is_multiple_of(7)),
        aftermath: Aftermath::default(),
        has_template: true,
        idempotent: false,
        latency_ms: Some(u32::try_from(n * n % 5000).unwrap()),
        isolate: None,
        line: u32::try_from(n % 900).ok(),
        format: Format::Json,
        coarse: u16::try_from(n % 100).unwrap(),
        sketch: Sketch([u8::try_from(n % 256).unwrap(); 64]),
        content: id(n % 80),
        traits: Traits { marks: u16::try_from(n % 2048).unwrap(), ..Traits::default() },
    }
}
