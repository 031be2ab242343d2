//! Alerts in each public format: the facts of its schema, its grammar read back by parsers written from the
//! specifications, hostile texts, the committed examples, and the file and the topic they end up in.

mod grammar;
mod places;
mod schema;

use std::collections::BTreeSet;
use std::path::PathBuf;

use panicsift::edge::format::{DOCUMENTATION_ENTERPRISE, Format, cim, encode};
use panicsift::pipeline::alert::{Alert, Counted, Evidence, Finding, NetworkCount, Technique};
use proptest::prelude::*;
use serde_json::{Value, json};

const SYSLOG: Format = Format::Syslog { enterprise_number: DOCUMENTATION_ENTERPRISE };

/// Every format, and the name of its example.
const FORMATS: [(Format, &str); 6] = [
    (Format::Native, "native.json"),
    (Format::Ecs, "ecs.json"),
    (Format::Ocsf, "ocsf.json"),
    (Format::Cef, "cef.txt"),
    (Format::Leef, "leef.txt"),
    (SYSLOG, "syslog.txt"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The alert of the examples.
fn example(change: &str) -> Alert {
    let path = root().join(format!("schemas/examples/alert.{change}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn line(format: Format, alert: &Alert) -> String {
    let mut out = Vec::new();
    encode(format, alert, &mut out).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert!(!line.contains(char::is_control), "{line:?}");
    line
}

fn document(format: Format, alert: &Alert) -> Value {
    serde_json::from_str(&line(format, alert)).unwrap()
}

/// An alert whose every text is one of these in turn, its times and addresses too where `everywhere` says so.
fn hostile(texts: &[String], everywhere: bool) -> Alert {
    let mut alert = example("raised");
    let mut next = texts.iter().cloned().cycle();
    let mut next = move || next.next().unwrap();
    let portrait = &mut alert.portrait;
    let own = [&mut alert.alert_id, &mut alert.cluster, &mut portrait.title, &mut portrait.tenant, &mut portrait.model];
    for text in own {
        *text = next();
    }
    let lists = [
        &mut portrait.services,
        &mut portrait.sites,
        &mut portrait.routes,
        &mut portrait.agents,
        &mut portrait.countries,
        &mut portrait.releases,
        &mut portrait.token_scopes,
    ];
    for list in lists {
        *list = (1..=3).map(|events| Counted { name: next(), events }).collect();
    }
    portrait.networks = vec![NetworkCount { asn: Some(64_500), organisation: Some(next()), events: 1 }];
    portrait.next_step = next();
    portrait.technique =
        Some(Technique { id: next(), name: next(), tactic_id: next(), tactic: next(), reason: next() });
    portrait.evidence = (0..4).map(|_| Evidence { name: next(), points: 1.0, words: next() }).collect();
    let finding = |name, words| Finding { name, value: None, limit: Some(1.0), met: true, words };
    alert.findings = (0..3).map(|_| finding(next(), next())).collect();
    portrait.addresses = vec![next(), "192.0.2.7".to_owned(), "2001:db8::7".to_owned()];
    if everywhere {
        (alert.at, portrait.first_event, portrait.last_event) = (next(), next(), next());
    }
    alert
}

/// Texts of any characters, and of those that mean something somewhere.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let meaning = r#"[|=\\"\]\[^ a\r\n\t,;<>\{\}\u{0}\u{1b}\u{7f}\u{85}\u{202e}\u{2028}\u{feff}é]{0,60}"#;
    let one = prop_oneof![any::<String>(), meaning.prop_map(String::from), "[a-z=|\\\\]{900,1500}"];
    prop::collection::vec(one, 1..8)
}

proptest! {
    #[test]
    fn no_text_breaks_a_line_whatever_it_is(texts in texts(), everywhere in any::<bool>()) {
        let alert = hostile(&texts, everywhere);
        for (format, _) in FORMATS {
            let line = line(format, &alert);
            prop_assert_eq!(line.lines().count(), 1);
        }
        prop_assert_eq!(serde_json::from_str::<Alert>(&line(Format::Native, &alert)).unwrap(), alert);
    }
}

/// Whatever is in a line is in the alert, or stands in every line of the format, or is one of these, which follow from
/// the alert: times in milliseconds, a duration in nanoseconds, a number of a scale.
#[test]
fn a_format_adds_nothing_that_is_not_in_the_alert() {
    let alert = example("raised");
    let mut other = hostile(&["canary".to_owned()], false);
    (other.at, other.portrait.addresses) = (alert.at.clone(), vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()]);
    let derived =
        ["98", "sub", "subtechnique", "AS57043", "1789377890000", "1789376981921", "1789377285131", "303210000000"];
    let words = |line: &str| -> BTreeSet<String> {
        let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let told = words(&line(Format::Native, &alert));
    assert!(told.len() > 150, "{}", told.len());
    for (format, name) in FORMATS {
        let constant = words(&line(format, &other));
        let added = words(&line(format, &alert));
        let added: Vec<&String> =
            added.iter().filter(|word| !told.contains(*word) && !constant.contains(*word)).collect();
        assert!(added.iter().all(|word| derived.contains(&word.as_str())), "{name}: {added:?}");
    }
}

/// The committed examples: text as it is written, JSON indented for reading.
fn examples() -> Vec<(&'static str, String)> {
    let alert = example("raised");
    let mut examples: Vec<(&str, String)> = FORMATS
        .iter()
        .map(|(format, name)| {
            let text = match format.content_type() {
                "application/json" => format!("{:#}\n", document(*format, &alert)),
                _ => line(*format, &alert) + "\n",
            };
            (*name, text)
        })
        .collect();
    let storm = example("storm");
    let formats = [(Format::Ecs, "storm.ecs.json"), (Format::Ocsf, "storm.ocsf.json")];
    examples.extend(formats.map(|(format, name)| (name, format!("{:#}\n", document(format, &storm)))));
    let lines = [(Format::Cef, "storm.cef.txt"), (Format::Leef, "storm.leef.txt"), (SYSLOG, "storm.syslog.txt")];
    examples.extend(lines.map(|(format, name)| (name, line(format, &storm) + "\n")));
    let told = json!({ "event": cim::Event::of(&storm), "fields": cim::Fields::of(&storm) });
    examples.push(("storm.splunk.json", format!("{told:#}\n")));
    let splunk = json!({ "event": cim::Event::of(&alert), "fields": cim::Fields::of(&alert) });
    examples.push(("splunk.json", format!("{splunk:#}\n")));
    examples
}

fn folder() -> PathBuf {
    root().join("schemas/examples/formats")
}

#[test]
fn the_committed_examples_are_what_is_written() {
    let found: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, examples().iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, text) in examples() {
        let committed = std::fs::read_to_string(folder().join(name)).unwrap();
        assert!(
            committed == text,
            "{name} is not what is written now; if that is meant: cargo test --test it -- \
                                    --ignored formats::write_the_examples"
        );
    }
}

#[test]
#[ignore = "writes the committed examples anew"]
fn write_the_examples() {
    for (name, text) in examples() {
        std::fs::write(folder().join(name), text).unwrap();
    }
}
