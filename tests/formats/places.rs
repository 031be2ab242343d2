//! Alerts of a format in the topic and the file that they end up in: keys, headers, proofs, a crash in the middle of a
//! line.

use std::collections::BTreeMap;
use std::path::Path;

use panicsift::edge::deliver::{Fate, FileSettings, NdjsonFile, Outlet, Reading, TopicOutlet, Word};
use panicsift::edge::format::Format;
use panicsift::edge::kafka::ProducerSettings;
use panicsift::edge::kafka::embedded::EmbeddedBroker;
use panicsift::pipeline::alert::{Alert, Change};

use super::{FORMATS, line};
use crate::support::alert;
use crate::support::kafka::read_back;

fn alerts() -> [Alert; 3] {
    ["a-1", "a-2", "a-3"].map(|id| alert(id, &format!("c-{id}"), Change::Opened))
}

/// The proofs of a request that was taken whole.
fn proofs(reading: Reading) -> Vec<String> {
    let Reading::Words(said) = reading else { panic!("{reading:?}") };
    let proof = |word| match word {
        Word::Final(Fate::Delivered, proof) => proof,
        other => panic!("{other:?}"),
    };
    said.into_iter().map(proof).collect()
}

fn file(path: &Path, format: Format) -> NdjsonFile {
    let settings = FileSettings { name: "file".to_owned(), path: path.to_owned(), rotate_bytes: 0 };
    NdjsonFile::new(&settings).with_format(format)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_what_it_is_and_a_proof_says_where_it_stands() {
    let broker = EmbeddedBroker::start().unwrap();
    for (format, name) in [(Format::Native, "native"), (Format::Ecs, "ecs"), (Format::Ocsf, "ocsf")] {
        broker.create_topic(name, 1).unwrap();
        let settings = ProducerSettings::new(vec![broker.brokers().to_owned()], name.to_owned());
        let mut outlet = TopicOutlet::new(settings).with_format(format);
        let alerts = alerts();
        let expected: Vec<String> = (0..3).map(|offset| format!("{name}-0@{offset}")).collect();
        assert_eq!(proofs(outlet.send(&alerts).await), expected);
        assert_eq!(proofs(outlet.send(&alerts[..1]).await), [format!("{name}-0@3")]);
        let stored = read_back(broker.brokers(), name);
        assert_eq!(stored.len(), 4);
        for (record, alert) in stored.iter().zip(alerts.iter().cycle()) {
            assert_eq!(record.key, alert.cluster);
            assert_eq!(String::from_utf8(record.value.clone()).unwrap(), line(format, alert));
            let headers = [("content-type", "application/json"), ("format", name), ("alert_id", &alert.alert_id)];
            let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(record.headers, BTreeMap::from(headers));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_cluster_stay_in_one_partition_in_their_order() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("alerts", 8).unwrap();
    let settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "alerts".to_owned());
    let mut outlet = TopicOutlet::new(settings);
    let mut places: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    for change in [Change::Opened, Change::Raised, Change::Closed] {
        let clusters = ["c-1", "c-2", "c-3", "c-4", "c-5"];
        let alerts = clusters.map(|cluster| alert(&format!("{cluster}-{}", change.name()), cluster, change));
        for (cluster, proof) in clusters.iter().zip(proofs(outlet.send(&alerts).await)) {
            let (partition, offset) = proof.split_once('@').unwrap();
            places.entry(cluster).or_default().push((partition.to_owned(), offset.parse().unwrap()));
        }
    }
    for (cluster, places) in &places {
        assert!(places.is_sorted() && places.iter().all(|place| place.0 == places[0].0), "{cluster}: {places:?}");
    }
    let mut partitions: Vec<&String> = places.values().map(|places| &places[0].0).collect();
    partitions.sort();
    partitions.dedup();
    assert!(partitions.len() > 1, "the key decides nothing");
}

/// What the producer promises cannot be set away: each of these would break it.
#[tokio::test(flavor = "multi_thread")]
async fn no_setting_takes_acknowledgements_or_idempotence_away() {
    for (key, value) in [("acks", "1"), ("request.required.acks", "1"), ("enable.idempotence", "false")] {
        let mut settings = ProducerSettings::new(vec!["127.0.0.1:1".to_owned()], "alerts".to_owned());
        settings.properties.insert(key.to_owned(), value.to_owned());
        let reading = TopicOutlet::new(settings).send(&alerts()).await;
        assert!(matches!(&reading, Reading::Hold { why } if why.contains(key)), "{key}: {reading:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_holds_a_line_an_alert_and_each_proof_says_where_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    for (format, name) in FORMATS {
        let path = dir.path().join(name);
        let mut outlet = file(&path, format);
        let alerts = alerts();
        let mut said = proofs(outlet.send(&alerts).await);
        said.extend(proofs(outlet.send(&alerts).await));
        let lines: Vec<String> = alerts.iter().map(|alert| line(format, alert) + "\n").collect();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, [lines.concat(), lines.concat()].concat());
        for (proof, line) in said.iter().zip(lines.iter().cycle()) {
            let (place, begin) = proof.rsplit_once('@').unwrap();
            assert_eq!(place, path.to_str().unwrap());
            assert!(text.as_bytes()[begin.parse().unwrap()..].starts_with(line.as_bytes()), "{proof}");
        }
    }
}

/// The process may end with any number of bytes of a request on the disk; the request then comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_in_a_request_leaves_no_torn_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts");
    for (format, name) in [(Format::Native, "native"), (Format::Cef, "cef")] {
        let alerts = alerts();
        let lines: Vec<String> = alerts.iter().map(|alert| line(format, alert) + "\n").collect();
        let whole = lines.concat();
        for cut in (0..whole.len()).step_by(61) {
            std::fs::write(&path, [lines[0].as_bytes(), &whole.as_bytes()[..cut]].concat()).unwrap();
            proofs(file(&path, format).send(&alerts).await);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.ends_with(&whole), "{name}, cut at {cut}");
            assert!(text.split_inclusive('\n').all(|one| lines.iter().any(|line| line == one)), "{name}, cut at {cut}");
        }
    }
}
