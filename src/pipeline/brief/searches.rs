//! Searches that show the rest: the alerts of a cluster where they were sent to, and what its addresses did elsewhere.
//!
//! Ready to paste, in Splunk's SPL and Elasticsearch's ES|QL. The alerts are looked for in the index and data stream of
//! the configuration ([`Places`]), by the field that every alert has there; other events by the shown addresses from an
//! hour before the first event on: in all of Splunk's indexes as text (with the example events' ids), in the streams
//! `logs-*` and those named after the topics as ECS's `source.ip`. No search names a value of a payload.
//!
//! Every text in a search was quoted for its language: one line, quotes and backslashes escaped. SPL knows no escape for
//! `*`, and macros and dashboards have marks of their own, so that a text with one of these is left out; what strangers
//! choose (event ids, topics) only ever narrows what is found. Bounded: [`ADDRESSES_MAX`] addresses, [`CLUSTERS_MAX`]
//! clusters, [`EVENTS_MAX`] event ids and topics.

use std::net::IpAddr;

use crate::pipeline::alert::{Change, Portrait, Queries, Searches};
use crate::pipeline::event::Millis;
use crate::pipeline::neutral;

/// Addresses in a search; a portrait shows no more.
pub const ADDRESSES_MAX: usize = 16;
/// Clusters in a search: it and what became part of it.
pub const CLUSTERS_MAX: usize = 16;
/// Event ids, and topics, in a search.
pub const EVENTS_MAX: usize = 3;
/// Bytes of a text in a search.
const TEXT_BYTES_MAX: usize = 256;
/// Rows of an ES|QL answer: the language's own limit without one is 1,000.
const ROWS_MAX: u32 = 1_000;
/// How long before the first event, and after the last of a closed cluster, a search looks.
const MARGIN_MILLIS: i64 = Millis::HOUR;
/// What SPL would take for more than itself inside quotes: a wildcard, a macro, a dashboard's token.
const SPL_UNQUOTABLE: [char; 3] = ['*', '`', '$'];

/// Where alerts are sent to, by the names that searches need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Splunk's index; `None` where the token's own is used.
    pub splunk_index: Option<String>,
    /// Splunk's sourcetype.
    pub splunk_sourcetype: String,
    /// The data stream in Elasticsearch.
    pub data_stream: String,
}

impl Places {
    /// The sourcetype where nothing else is configured.
    pub const SOURCETYPE: &'static str = "panicsift:alert";
    /// The data stream where nothing else is configured.
    pub const DATA_STREAM: &'static str = "logs-panicsift.alert-default";
}

impl Default for Places {
    fn default() -> Self {
        let (sourcetype, data_stream) = (Self::SOURCETYPE.to_owned(), Self::DATA_STREAM.to_owned());
        Self { splunk_index: None, splunk_sourcetype: sourcetype, data_stream }
    }
}

/// The searches of an alert on `cluster`.
pub fn of(places: &Places, change: Change, cluster: &str, portrait: &Portrait) -> Queries {
    let clusters: Vec<&str> =
        std::iter::once(cluster).chain(portrait.lineage.iter().map(String::as_str)).take(CLUSTERS_MAX).collect();
    let addresses: Vec<IpAddr> =
        portrait.addresses.iter().filter_map(|address| address.parse().ok()).take(ADDRESSES_MAX).collect();
    let (from, until) = window(change, portrait);
    Queries {
        spl: Searches {
            alerts: spl_alerts(places, &clusters),
            events: spl_events(places, portrait, &addresses, (from, until)),
        },
        esql: Searches {
            alerts: esql_alerts(places, &clusters),
            events: esql_events(portrait, &addresses, (from, until)),
        },
    }
}

/// From when to when; open ended while the cluster may go on.
fn window(change: Change, portrait: &Portrait) -> (Option<Millis>, Option<Millis>) {
    let from = Millis::parse(&portrait.first_event).map(|first| first.plus(-MARGIN_MILLIS));
    let until = Millis::parse(&portrait.last_event).map(|last| last.plus(MARGIN_MILLIS));
    (from, until.filter(|_| change == Change::Closed))
}

fn spl_alerts(places: &Places, clusters: &[&str]) -> String {
    let index = places.splunk_index.as_deref().map_or_else(|| "*".to_owned(), quoted);
    let clusters = joined(clusters.iter().map(|id| format!("cluster={}", quoted(id))), " OR ");
    let sourcetype = quoted(&places.splunk_sourcetype);
    format!(
        "index={index} sourcetype={sourcetype} ({clusters}) | sort 0 _time \
         | table _time, cluster, change, severity, subject, panicsift.points, panicsift.counts.events"
    )
}

fn spl_events(
    places: &Places,
    portrait: &Portrait,
    addresses: &[IpAddr],
    (from, until): (Option<Millis>, Option<Millis>),
) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let ids = portrait.examples.iter().take(EVENTS_MAX).map(|example| example.event_id.as_str());
    let ids = ids.filter(|id| !id.is_empty() && !id.contains(SPL_UNQUOTABLE)).map(quoted);
    let terms = joined(addresses.iter().map(|address| quoted(&address.to_string())).chain(ids), " OR ");
    let seconds = |name: &str, time: Option<Millis>, up: i64| {
        time.map(|time| format!(" {name}={}", time.0.div_euclid(Millis::SECOND) + up)).unwrap_or_default()
    };
    // `latest` is exclusive.
    let (earliest, latest) = (seconds("earliest", from, 0), seconds("latest", until, 1));
    let sourcetype = quoted(&places.splunk_sourcetype);
    format!(
        "index=*{earliest}{latest} NOT sourcetype={sourcetype} ({terms}) | table _time, index, sourcetype, source, _raw"
    )
}

fn esql_alerts(places: &Places, clusters: &[&str]) -> String {
    let clusters = joined(clusters.iter().map(|id| quoted(id)), ", ");
    format!(
        "FROM {} | WHERE panicsift.cluster IN ({clusters}) | SORT @timestamp | KEEP @timestamp, panicsift.cluster, \
         panicsift.change, panicsift.severity, panicsift.title, panicsift.points, panicsift.counts.events \
         | LIMIT {ROWS_MAX}",
        source(&places.data_stream)
    )
}

fn esql_events(portrait: &Portrait, addresses: &[IpAddr], (from, until): (Option<Millis>, Option<Millis>)) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let mut streams = vec!["logs-*".to_owned()];
    for topic in portrait.examples.iter().take(EVENTS_MAX).filter_map(|example| stream_of(&example.topic)) {
        if !streams.contains(&topic) {
            streams.push(topic);
        }
    }
    let networks =
        addresses.iter().map(|address| quoted(&format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })));
    let bound = |sign: &str, time: Option<Millis>| {
        time.map(|time| format!("@timestamp {sign} {} AND ", quoted(&time.to_string()))).unwrap_or_default()
    };
    format!(
        "FROM {} | WHERE {}{}CIDR_MATCH(source.ip, {}) | SORT @timestamp | LIMIT {ROWS_MAX}",
        joined(streams.iter().map(|stream| source(stream)), ", "),
        bound(">=", from),
        bound("<=", until),
        joined(networks, ", ")
    )
}

/// The streams that bear a topic's name, where it can be one: index names are small letters, and of few signs.
fn stream_of(topic: &str) -> Option<String> {
    let name = topic.to_ascii_lowercase();
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = name.bytes().all(|b| is_letter(b) || matches!(b, b'-' | b'_' | b'.'));
    (fits && name.bytes().next().is_some_and(is_letter) && name.len() <= TEXT_BYTES_MAX).then(|| format!("{name}*"))
}

/// A stream's name behind `FROM`: as it is where all versions of ES|QL take it so, else quoted (from 8.15 on).
fn source(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'*');
    if !name.is_empty() && name.bytes().all(plain) { name.to_owned() } else { quoted(name) }
}

/// A text as both languages quote it: in double quotes, with a backslash before quotes and backslashes, on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in neutral::line(text, TEXT_BYTES_MAX).chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn joined(texts: impl Iterator<Item = String>, between: &str) -> String {
    texts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::alert::Example;

    /// Bytes that no search exceeds: 16 clusters or 16 addresses and 3 event ids, each escaped throughout.
    const SEARCH_BYTES_MAX: usize = 10_000;

    fn portrait(addresses: &[&str], ids: &[&str], topic: &str) -> Portrait {
        let example =
            |id: &&str| Example { event_id: (*id).to_owned(), topic: topic.to_owned(), partition: 0, offset: 1 };
        Portrait {
            first_event: "2026-09-14T08:00:00.500Z".to_owned(),
            last_event: "2026-09-14T08:11:00.000Z".to_owned(),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            examples: ids.iter().map(example).collect(),
            ..Portrait::default()
        }
    }

    fn all(queries: &Queries) -> [&str; 4] {
        [&queries.spl.alerts, &queries.spl.events, &queries.esql.alerts, &queries.esql.events].map(String::as_str)
    }

    #[test]
    fn alerts_are_looked_for_where_they_were_sent_to() {
        let portrait = Portrait { lineage: vec!["c0ffee".to_owned()], ..portrait(&[], &[], "") };
        let found = of(&Places::default(), Change::Opened, "cafe", &portrait);
        let columns = "| table _time, cluster, change, severity, subject, panicsift.points, panicsift.counts.events";
        let spl = format!(
            r#"index=* sourcetype="panicsift:alert" (cluster="cafe" OR cluster="c0ffee") | sort 0 _time {columns}"#
        );
        let esql = r#"FROM logs-panicsift.alert-default | WHERE panicsift.cluster IN ("cafe", "c0ffee") | SORT @timestamp | KEEP @timestamp, panicsift.cluster, panicsift.change, panicsift.severity, panicsift.title, panicsift.points, panicsift.counts.events | LIMIT 1000"#;
        assert_eq!(all(&found), [&spl, "", esql, ""]);
        let places = Places {
            splunk_index: Some("security".to_owned()),
            splunk_sourcetype: "our:alert".to_owned(),
            data_stream: "alerts of \"us\"".to_owned(),
        };
        let found = of(&places, Change::Opened, "cafe", &portrait);
        assert!(found.spl.alerts.starts_with(r#"index="security" sourcetype="our:alert" (cluster="cafe""#));
        assert!(found.esql.alerts.starts_with(r#"FROM "alerts of \"us\"" | WHERE"#));
    }

    #[test]
    fn events_are_looked_for_by_address_from_an_hour_before_on() {
        let portrait = portrait(&["192.0.2.7", "2001:db8::7", "no address"], &["e-1"], "Panics");
        let found = of(&Places::default(), Change::Raised, "cafe", &portrait);
        assert_eq!(
            (found.spl.events.as_str(), found.esql.events.as_str()),
            (
                r#"index=* earliest=1789369200 NOT sourcetype="panicsift:alert" ("192.0.2.7" OR "2001:db8::7" OR "e-1") | table _time, index, sourcetype, source, _raw"#,
                r#"FROM logs-*, panics* | WHERE @timestamp >= "2026-09-14T07:00:00.500Z" AND CIDR_MATCH(source.ip, "192.0.2.7/32", "2001:db8::7/128") | SORT @timestamp | LIMIT 1000"#
            )
        );
        let closed = of(&Places::default(), Change::Closed, "cafe", &portrait);
        assert!(closed.spl.events.starts_with("index=* earliest=1789369200 latest=1789377061 NOT"), "{closed:?}");
        assert!(closed.esql.events.contains(r#" AND @timestamp <= "2026-09-14T09:11:00.000Z" AND CIDR"#), "{closed:?}");
    }

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check(r#"a" | delete | ""#, r#""a\" | delete | \"""#);
        check(r"a\", r#""a\\""#);
        check("a\r\n| drop", r#""a\\u{d}\\u{a}| drop""#);
        check("\u{202e}", r#""\\u{202e}""#);
        check("", r#""""#);
        assert_eq!(source("logs-*"), "logs-*");
        assert_eq!(source("a, b | LIMIT 1 //"), r#""a, b | LIMIT 1 //""#);
        assert_eq!(source(""), r#""""#);
    }

    #[test]
    fn what_a_language_cannot_quote_and_what_no_stream_is_called_is_left_out() {
        let events = |id: &str, topic: &str| {
            let found = of(&Places::default(), Change::Opened, "c", &portrait(&["192.0.2.7"], &[id], topic));
            (found.spl.events, found.esql.events)
        };
        for id in ["*", "a`macro`", "$token$", ""] {
            assert!(events(id, "panics").0.contains(r#"("192.0.2.7") |"#), "{id}");
        }
        for topic in ["/tmp/panics.jsonl", "-panics", "panics,*", "a b", "*", ".security", ""] {
            assert!(events("e", topic).1.starts_with("FROM logs-* | WHERE"), "{topic}");
        }
    }

    /// Reads a search as its language does: the quoted parts, and what stands outside of them.
    fn outside(search: &str) -> Option<String> {
        let mut outside = String::new();
        let (mut inside, mut escaped) = (false, false);
        for c in search.chars() {
            match (inside, escaped, c) {
                (true, true, _) => escaped = false,
                (true, false, '\\') => escaped = true,
                (_, _, '"') => inside = !inside,
                (true, ..) => {}
                (false, ..) => outside.push(c),
            }
        }
        (!inside).then_some(outside)
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_quotes_or_makes_a_search_long(
            texts in prop::collection::vec(prop_oneof![any::<String>(), r#"["\\|`*$\[\]\r\n a,]{0,300}"#], 1..40),
        ) {
            let mut hostile = portrait(&["192.0.2.7"; 40], &[], "");
            let example = |text: &String| Example { event_id: text.clone(), topic: text.clone(), partition: 0, offset: 1 };
            hostile.examples = texts.iter().map(example).collect();
            hostile.lineage.clone_from(&texts);
            let text = texts.first().cloned().unwrap_or_default();
            let places = Places { splunk_index: Some(text.clone()), splunk_sourcetype: text.clone(), data_stream: text.clone() };
            let found = of(&places, Change::Closed, &text, &hostile);
            for search in all(&found) {
                prop_assert!(search.len() <= SEARCH_BYTES_MAX, "{}", search.len());
                prop_assert!(search.chars().all(neutral::is_shown));
                let outside = outside(search);
                prop_assert!(outside.is_some(), "{search}");
                // Pipes and marks outside of quotes are our own.
                let n_pipes = outside.unwrap_or_default().matches('|').count();
                prop_assert!(n_pipes == search_pipes(search, &found), "{search}");
            }
        }
    }

    fn search_pipes(search: &str, found: &Queries) -> usize {
        if search == found.spl.alerts {
            2
        } else if search == found.spl.events {
            1
        } else if search == found.esql.alerts {
            4
        } else {
            3
        }
    }
}
