//! What every format promises, on alerts whose every text is hostile.

use proptest::prelude::*;

use super::*;
use crate::pipeline::alert::Severity;

const FORMATS: [Format; 6] = [
    Format::Native,
    Format::Ecs,
    Format::Ocsf,
    Format::Cef,
    Format::Leef,
    Format::Syslog { enterprise_number: u32::MAX },
];

fn example() -> Alert {
    serde_json::from_str(include_str!("../../../schemas/examples/alert.raised.json")).unwrap()
}

fn written(format: Format, alert: &Alert) -> String {
    let mut out = b"before".to_vec();
    encode(format, alert, &mut out).unwrap();
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

/// The severity of an alert as each scale writes it.
#[track_caller]
fn check(severity: Severity, cef: &str, leef: &str, syslog: &str, others: (u64, u64)) {
    let mut alert = example();
    alert.portrait.severity = severity;
    assert!(written(Format::Cef, &alert).contains(&format!("|hostile panic cluster raised|{cef}|")));
    assert!(written(Format::Leef, &alert).contains(&format!("^sev={leef}^")));
    assert!(
        written(FORMATS[5], &alert)
            .starts_with(&format!("<{syslog}>1 2026-09-14T09:24:50.000Z - panicsift - raised ["))
    );
    let number = |format, pointer| {
        let value: serde_json::Value = serde_json::from_str(&written(format, &alert)).unwrap();
        value.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap()
    };
    assert_eq!((number(Format::Ecs, "/event/severity"), number(Format::Ocsf, "/severity_id")), others);
}

#[test]
fn a_severity_is_the_same_on_every_scale() {
    check(Severity::Low, "3", "3", "85", (21, 2));
    check(Severity::Medium, "6", "5", "84", (47, 3));
    check(Severity::High, "8", "8", "83", (73, 4));
    check(Severity::Critical, "10", "10", "82", (99, 5));
}

#[test]
fn json_shows_what_is_invisible_and_reads_back_the_same() {
    let mut alert = example();
    alert.portrait.title = "a\u{7f}b\u{85}c\u{202e}d\u{2028}e\u{e0041}f\n\"\\ü".to_owned();
    let line = written(Format::Native, &alert);
    assert!(line.contains(r#""title":"a\u007fb\u0085c\u202ed\u2028e\udb40\udc41f\n\"\\ü""#), "{line}");
    assert_eq!(serde_json::from_str::<Alert>(&line).unwrap(), alert);
}

#[test]
fn what_is_no_time_and_no_address_is_left_out() {
    let mut alert = example();
    alert.at = "yesterday".to_owned();
    alert.portrait.first_event = String::new();
    alert.portrait.addresses = vec!["192.0.2.7:80".to_owned(), "::1".to_owned(), "fe80::1%eth0".to_owned()];
    let ecs: serde_json::Value = serde_json::from_str(&written(Format::Ecs, &alert)).unwrap();
    assert_eq!(
        (ecs.get("@timestamp"), ecs.pointer("/event/start"), ecs.pointer("/event/duration")),
        (None, None, None)
    );
    assert_eq!(ecs.pointer("/related/ip").unwrap(), &serde_json::json!(["::1"]));
    let ocsf: serde_json::Value = serde_json::from_str(&written(Format::Ocsf, &alert)).unwrap();
    assert_eq!((ocsf.get("time"), ocsf.pointer("/finding_info/modified_time")), (None, None));
    assert_eq!(ocsf["evidences"], serde_json::json!([{"src_endpoint": {"ip": "::1"}}]));
    assert!(!written(Format::Cef, &alert).contains(" rt="));
    assert!(written(Format::Leef, &alert).contains("^src=::1^"));
    assert!(written(FORMATS[5], &alert).starts_with("<83>1 - - panicsift"));
}

#[test]
fn numbers_of_any_size_fit_their_fields() {
    let mut alert = example();
    let most = u64::MAX;
    let counts = &mut alert.portrait.counts;
    (counts.events, counts.actors, counts.shapes, counts.addresses) = (most, most, most, most);
    for points in [f64::MAX, f64::NAN, f64::INFINITY, -0.0] {
        alert.portrait.points = points;
        for format in FORMATS {
            assert!(written(format, &alert).len() < 16_384);
        }
    }
    assert!(written(Format::Cef, &alert).contains(" cnt=2147483647 "));
    assert!(written(Format::Cef, &alert).contains(" cn2=9223372036854775807 "));
    assert!(written(Format::Ocsf, &alert).contains(r#""count":2147483647,"#));
}

proptest! {
    #[test]
    fn every_format_is_one_printable_line(texts in prop::collection::vec(any::<String>(), 1..8)) {
        let mut alert = example();
        let mut texts = texts.iter().cycle();
        let portrait = &mut alert.portrait;
        for text in [&mut portrait.title, &mut portrait.tenant, &mut portrait.model, &mut alert.cluster] {
            text.clone_from(texts.next().unwrap());
        }
        for list in [&mut portrait.routes, &mut portrait.sites, &mut portrait.services, &mut portrait.agents] {
            for one in list.iter_mut() {
                one.name.clone_from(texts.next().unwrap());
            }
        }
        portrait.networks[0].organisation = texts.next().cloned();
        for format in FORMATS {
            let line = written(format, &alert);
            // Syslog's byte order mark is the one exception.
            let odd = line.chars().filter(|c| !crate::pipeline::neutral::is_shown(*c)).count();
            prop_assert_eq!(odd, usize::from(matches!(format, Format::Syslog { .. })), "{:?}", line);
        }
    }
}
