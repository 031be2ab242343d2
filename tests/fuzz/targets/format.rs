//! Whatever texts an alert holds, each format writes it as one line without control characters, of bounded length where
//! the format has fields of bounded length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::format::{Format, encode};
use panicsift_fuzz::pipeline::alert::{
    Alert, Change, Counted, Evidence, NetworkCount, Portrait, Severity, Technique,
};
use panicsift_fuzz::pipeline::event::Millis;

/// Texts are divided by a character that has no other meaning here.
const DIVIDER: char = '\u{1e}';

/// How long a line of text formats may be, by format.
const LINE_BYTES_MAX: [(Format, usize); 6] = [
    (Format::Native, usize::MAX),
    (Format::Ecs, usize::MAX),
    (Format::Ocsf, usize::MAX),
    (Format::Cef, 16_384),
    (Format::Leef, 8_192),
    (Format::Syslog { enterprise_number: 32_473 }, 2_048),
];

fuzz_target!(|input: &str| {
    let mut texts = input.split(DIVIDER).map(str::to_owned).cycle();
    let mut next = move || texts.next().unwrap_or_default();
    let counted = |name: String| Counted { name, events: 1 };
    let portrait = Portrait {
        title: next(),
        severity: if input.len() % 2 == 0 { Severity::Critical } else { Severity::Low },
        points: input.len() as f64,
        technique: Some(Technique { id: next(), name: next(), tactic_id: next(), tactic: next(), reason: next() }),
        next_step: next(),
        evidence: vec![Evidence { name: next(), points: 1.0, words: next() }],
        first_event: next(),
        last_event: Millis(input.len() as i64).to_string(),
        tenant: next(),
        services: vec![counted(next()), counted(next())],
        sites: vec![counted(next()), counted(next())],
        routes: vec![counted(next()), counted(next())],
        networks: vec![NetworkCount { asn: None, organisation: Some(next()), events: 1 }],
        countries: vec![counted(next())],
        addresses: vec![next(), "192.0.2.7".to_owned()],
        agents: vec![counted(next())],
        model: next(),
        ..Portrait::default()
    };
    let mut alert = Alert::of(Change::Opened, &next(), 7, Millis(input.len() as i64), portrait);
    if input.len() % 3 == 0 {
        alert.at = next();
        alert.alert_id = next();
    }
    for (format, bytes_max) in LINE_BYTES_MAX {
        let mut out = Vec::new();
        encode(format, &alert, &mut out).expect("every alert has every form");
        let line = String::from_utf8(out).expect("every form is UTF-8");
        assert!(!line.chars().any(char::is_control), "{format:?}: {line:?}");
        assert!(line.len() <= bytes_max, "{format:?}: {} bytes", line.len());
    }
});
