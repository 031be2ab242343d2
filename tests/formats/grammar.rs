//! CEF, LEEF and syslog lines read back by small parsers that were written from the specifications and know nothing of
//! the writers.

use std::collections::BTreeMap;

use panicsift::edge::format::Format;
use panicsift::pipeline::alert::{Alert, Category};
use panicsift::pipeline::neutral;
use proptest::prelude::*;

use super::{SYSLOG, example, hostile, line, texts};

type Pairs = BTreeMap<String, String>;

fn put(pairs: &mut Pairs, key: &str, value: String) {
    assert!(key.chars().all(|c| c.is_ascii_alphanumeric()) && !key.is_empty(), "the key {key:?}");
    assert_eq!(pairs.insert(key.to_owned(), value), None, "{key} stands twice");
}

/// CEF (Implementing ArcSight CEF, version 23): seven header fields between `|`, in which `\|` and `\\` stand for
/// themselves; then `key=value` with a space between, in whose values `\=`, `\\`, `\n` and `\r` stand for something.
fn parse_cef(line: &str) -> (Vec<String>, Pairs) {
    let mut header = Vec::new();
    let mut field = String::new();
    let mut rest = line.chars();
    while header.len() < 7 {
        match rest.next().expect("seven header fields") {
            '\\' => field.push(rest.next().filter(|c| ['|', '\\'].contains(c)).expect("an escape of the header")),
            '|' => header.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    let mut pairs = Pairs::new();
    let mut key: Option<String> = None;
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(match rest.next().expect("an escape of the extension") {
                'n' | 'r' => panic!("a line break in a value"),
                c => Some(c).filter(|c| ['=', '\\'].contains(c)).expect("an escape of the extension"),
            }),
            '=' => {
                let (value, next) = text.rsplit_once(' ').map_or(("", text.as_str()), |(value, next)| (value, next));
                let (value, next) = (value.to_owned(), next.to_owned());
                match key.replace(next) {
                    Some(key) => put(&mut pairs, &key, value),
                    None => assert_eq!(value, "", "text before the first key"),
                }
                text.clear();
            }
            c => text.push(c),
        }
    }
    put(&mut pairs, &key.expect("an extension"), text);
    (header, pairs)
}

/// LEEF 2.0 (IBM DSM guide, LEEF event components): five header fields between `|`, the delimiter, then `key=value` with
/// the delimiter between.
fn parse_leef(line: &str) -> (Vec<String>, Pairs) {
    let header: Vec<String> = line.split('|').take(6).map(str::to_owned).collect();
    let attributes = line.splitn(7, '|').nth(6).expect("six header fields");
    assert!(!attributes.contains('|'));
    let mut pairs = Pairs::new();
    for attribute in attributes.split(header[5].as_str()) {
        let (key, value) = attribute.split_once('=').expect("a key and a value");
        assert!(!value.contains('='), "a second sign of equality in {attribute:?}");
        put(&mut pairs, key, value.to_owned());
    }
    (header, pairs)
}

struct Syslog {
    priority: u8,
    header: Vec<String>,
    id: String,
    parameters: Pairs,
    message: String,
}

/// RFC 5424, §6, its ABNF rule by rule for one structured data element.
fn parse_syslog(line: &str) -> Syslog {
    let (priority, rest) = line.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert!(priority == "0" || !priority.starts_with('0'), "PRIVAL has no leading zero");
    let priority: u8 = priority.parse().unwrap();
    assert!(priority <= 191);
    let rest = rest.strip_prefix("1 ").expect("VERSION and a space");
    let header: Vec<String> = rest.splitn(6, ' ').take(5).map(str::to_owned).collect();
    let lengths = [32, 255, 48, 128, 32];
    for (field, length) in header.iter().zip(lengths) {
        assert!(
            !field.is_empty() && field.len() <= length && field.bytes().all(|b| (33..=126).contains(&b)),
            "{field}"
        );
    }
    let data = rest.splitn(6, ' ').nth(5).unwrap().strip_prefix('[').expect("structured data");
    let (id, mut rest) = data.split_at(data.find([' ', ']']).unwrap());
    assert!(id.len() <= 32 && id.bytes().all(|b| (33..=126).contains(&b) && !b"= ]\"".contains(&b)), "{id}");
    let mut parameters = Pairs::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, quoted) = parameter.split_once("=\"").unwrap();
        assert!(name.len() <= 32);
        let mut value = String::new();
        let mut quoted = quoted.chars();
        loop {
            match quoted.next().expect("the value ends") {
                '"' => break,
                ']' => panic!("a bracket that is not escaped"),
                '\\' => value.push(quoted.next().filter(|c| ['"', '\\', ']'].contains(c)).expect("an escape")),
                c => value.push(c),
            }
        }
        put(&mut parameters, name, value);
        rest = quoted.as_str();
    }
    let message = rest.strip_prefix("] \u{feff}").expect("a space and the byte order mark").to_owned();
    Syslog { priority, header, id: id.to_owned(), parameters, message }
}

/// What of an alert every line must give back.
fn told(alert: &Alert) -> [(&'static str, &str); 5] {
    let portrait = &alert.portrait;
    [
        ("id", &alert.alert_id),
        ("cluster", &alert.cluster),
        ("title", &portrait.title),
        ("tenant", &portrait.tenant),
        ("model", &portrait.model),
    ]
}

#[track_caller]
fn check(pairs: &Pairs, key: &str, expected: &str) {
    assert_eq!(pairs.get(key).map(String::as_str).unwrap_or_default(), expected, "{key}");
}

/// How LEEF, which has no escape, shows what would be its grammar.
fn visible(text: &str) -> String {
    text.replace('|', "\\u{7c}").replace('^', "\\u{5e}").replace('=', "\\u{3d}")
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| neutral::line(name, 120)).collect::<Vec<_>>().join(", ")
}

/// What an alert is called: rule, category, beginning of its id.
fn called(alert: &Alert) -> (&'static str, &'static str, &'static str) {
    match alert.category {
        Category::HostileInput => ("hostile panic cluster", "hostile input", "cluster"),
        Category::Storm => ("contained panic storm", "operations: storm", "storm"),
        Category::RetryCascade => ("panic retry cascade", "operations: retry cascade", "cascade"),
        Category::Rollback => ("rollback criteria", "operations: rollback", "rollback"),
        Category::ErrorBudget => ("panic error budget", "operations: error budget", "budget"),
    }
}

fn findings(alert: &Alert) -> String {
    let words = alert.findings.iter().map(|finding| format!("{}: {}", finding.name, finding.words));
    words.collect::<Vec<_>>().join("; ")
}

fn check_cef(alert: &Alert) {
    let line = line(Format::Cef, alert);
    assert!(line.len() <= 16_384, "{} bytes", line.len());
    let (header, pairs) = parse_cef(&line);
    let (name, category, id) = called(alert);
    let (name, id) = (format!("{name} {}", alert.change.name()), format!("{id}-{}", alert.change.name()));
    assert!(name.len() <= 31 && id.len() <= 31, "{name}");
    check(&pairs, "cat", category);
    assert_eq!(header[..6], ["CEF:0", "panicsift", "panicsift", env!("CARGO_PKG_VERSION"), &id, &name]);
    assert!((0..=10).contains(&header[6].parse::<i32>().unwrap()));
    let keys = ["externalId", "cs1", "msg", "cs6", "deviceExternalId"];
    for ((key, length), (_, text)) in keys.iter().zip([40, 500, 1_000, 500, 255]).zip(told(alert)) {
        check(&pairs, key, &neutral::line(text, length));
    }
    let portrait = &alert.portrait;
    for (key, list) in [("cs3", &portrait.routes), ("requestClientApplication", &portrait.agents)] {
        check(&pairs, key, &neutral::line(&joined(list.iter().map(|one| one.name.as_str())), 500));
    }
    if alert.category == Category::HostileInput {
        let sites = joined(portrait.sites.iter().map(|one| one.name.as_str()));
        check(&pairs, "cs4", &neutral::line(&sites, 500));
    } else {
        check(&pairs, "cs4", &neutral::line(&findings(alert), 500));
        assert!(!pairs.contains_key("cfp1"), "points are the judge's");
    }
    for (key, value) in &pairs {
        let label = key.strip_suffix("Label");
        assert!(label.is_none_or(|of| pairs.contains_key(of) && !value.is_empty()), "{key} labels nothing");
        let custom = key.starts_with('c') && key.ends_with(|c: char| c.is_ascii_digit());
        assert!(!custom || label.is_some() || pairs.contains_key(&format!("{key}Label")), "{key} has no label");
    }
}

fn check_leef(alert: &Alert) {
    let line = line(Format::Leef, alert);
    assert!(line.len() <= 8_192, "{} bytes", line.len());
    let (header, pairs) = parse_leef(&line);
    let (_, category, id) = called(alert);
    let id = format!("{id}-{}", alert.change.name());
    check(&pairs, "cat", category);
    check(&pairs, "findings", &neutral::line(&visible(&findings(alert)), 1_500));
    assert_eq!(header, ["LEEF:2.0", "panicsift", "panicsift", env!("CARGO_PKG_VERSION"), &id, "^"]);
    assert!((1..=10).contains(&pairs["sev"].parse::<i32>().unwrap()));
    let keys = ["alertId", "cluster", "title", "tenant", "model"];
    for ((key, length), (_, text)) in keys.iter().zip([40, 40, 500, 255, 255]).zip(told(alert)) {
        check(&pairs, key, &neutral::line(&visible(text), length));
    }
    let sites = joined(alert.portrait.sites.iter().map(|one| one.name.as_str()));
    check(&pairs, "panicSites", &neutral::line(&visible(&sites), 500));
}

fn check_syslog(alert: &Alert) {
    let line = line(SYSLOG, alert);
    assert!(line.len() <= 2_048, "{} bytes", line.len());
    let syslog = parse_syslog(&line);
    let is_security = alert.category == Category::HostileInput;
    // RFC 5424 §6.2.1: security messages, system daemons.
    assert_eq!(syslog.priority / 8, if is_security { 10 } else { 3 });
    check(&syslog.parameters, "category", alert.category.name());
    assert_eq!(syslog.parameters.contains_key("verdict"), is_security);
    assert_eq!(syslog.id, "panicsift@32473");
    assert_eq!(syslog.header[1..], ["-", "panicsift", "-", alert.change.name()]);
    let keys = ["alertId", "cluster", "", "tenant", "model"];
    for ((key, length), (name, text)) in keys.iter().zip([40, 40, 400, 60, 60]).zip(told(alert)) {
        if name == "title" {
            assert_eq!(syslog.message, neutral::line(text, length));
        } else {
            check(&syslog.parameters, key, &neutral::line(text, length));
        }
    }
    check(&syslog.parameters, "route", &neutral::line(&alert.portrait.routes[0].name, 100));
}

#[test]
fn the_examples_are_read_back_whole() {
    for change in ["opened", "raised", "closed"] {
        let alert = example(change);
        check_cef(&alert);
        check_leef(&alert);
        check_syslog(&alert);
    }
    for category in Category::ALL {
        let alert = Alert { category, ..example("storm") };
        check_cef(&alert);
        check_leef(&alert);
        check_syslog(&alert);
    }
    let alert = example("raised");
    let (_, cef) = parse_cef(&line(Format::Cef, &alert));
    let expected = [
        ("rt", "1789377890000"),
        ("start", "1789376981921"),
        ("end", "1789377285131"),
        ("cnt", "68"),
        ("src", "45.83.120.44"),
        ("cs2", "45.83.120.44"),
        ("cs5", "AS57043 HOSTKEY B.V."),
        ("cn1", "1"),
        ("cfp1", "3.80"),
        (
            "flexString1",
            "T1595.002 Active Scanning: Vulnerability Scanning: 64 shapes, 2 routes, 6 panic sites in 6 minutes",
        ),
    ];
    for (key, value) in expected {
        check(&cef, key, value);
    }
    check(&cef, "flexString2", &alert.portrait.next_step);
    let (_, leef) = parse_leef(&line(Format::Leef, &alert));
    let expected =
        [("devTime", "1789377890000"), ("src", "45.83.120.44"), ("resource", "storefront-api"), ("events", "68")];
    for (key, value) in expected {
        check(&leef, key, value);
    }
    check(&leef, "nextStep", &alert.portrait.next_step);
    let syslog = parse_syslog(&line(SYSLOG, &alert));
    assert_eq!(syslog.header[0], "2026-09-14T09:24:50.000Z");
    let expected = [
        ("src", "45.83.120.44"),
        ("service", "storefront-api"),
        ("severity", "high"),
        ("points", "3.80"),
        ("technique", "T1595.002"),
    ];
    for (key, value) in expected {
        check(&syslog.parameters, key, value);
    }
}

#[test]
fn an_address_of_either_family_has_its_place() {
    let mut alert = example("raised");
    alert.portrait.addresses = vec!["2001:db8::7".to_owned(), "192.0.2.7".to_owned()];
    let (_, cef) = parse_cef(&line(Format::Cef, &alert));
    let expected = [
        ("src", "192.0.2.7"),
        ("c6a2", "2001:db8::7"),
        ("c6a2Label", "Source IPv6 Address"),
        ("cs2", "2001:db8::7, 192.0.2.7"),
    ];
    for (key, value) in expected {
        check(&cef, key, value);
    }
    check(&parse_leef(&line(Format::Leef, &alert)).1, "src", "2001:db8::7");
}

#[test]
fn forged_grammar_stays_text() {
    let forged = "x|10|src=1.2.3.4 msg=a\\=b\\\n<34>1 - - - - - [a@1 b=\"c\"] ^sev=10^";
    let alert = hostile(&[forged.to_owned()], false);
    let (_, cef) = parse_cef(&line(Format::Cef, &alert));
    check(&cef, "src", "192.0.2.7");
    check(&cef, "msg", "x|10|src=1.2.3.4 msg=a\\=b\\\\u{a}<34>1 - - - - - [a@1 b=\"c\"] ^sev=10^");
    check(&parse_leef(&line(Format::Leef, &alert)).1, "sev", "8");
    assert_eq!(parse_syslog(&line(SYSLOG, &alert)).priority, 83);
}

proptest! {
    #[test]
    fn every_hostile_alert_is_read_back_field_by_field(texts in texts()) {
        for category in [Category::HostileInput, Category::Storm] {
            let alert = Alert { category, ..hostile(&texts, false) };
            check_cef(&alert);
            check_leef(&alert);
            check_syslog(&alert);
        }
    }
}
