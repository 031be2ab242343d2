//! What an analyst is told, and what he may not say.

use super::*;
use crate::edge::store::Store;
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Id;

fn subject(n_descendants: u64) -> LabelSubject {
    LabelSubject {
        cluster: ClusterId(Id(7)),
        alias: None,
        judge: Verdict::Hostile,
        points: 4.2,
        descendants: (0..n_descendants).map(|n| ClusterId(Id(n))).collect(),
    }
}

fn order(store: PathBuf, call: Option<Call>, why: &str) -> LabelOrder {
    LabelOrder { store, call, why: why.to_owned(), by: Some(" alice\n".to_owned()), dry_run: false }
}

fn told(order: &LabelOrder, subject: &LabelSubject) -> String {
    let mut out = Vec::new();
    say(order, subject, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_word_is_told_with_whom_it_overrules_and_whom_it_reaches() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.db");
    drop(Store::open(&store).unwrap());
    let first = order(store.clone(), Some(Call::Benign), "our own test");
    assert_eq!(
        told(&first, &subject(0)),
        "c-0000000000000007 is benign (by alice: our own test); the judge says hostile at 4.20 points\n"
    );
    let second =
        LabelOrder { by: Some("  ".to_owned()), dry_run: true, ..order(store.clone(), Some(Call::Hostile), "x") };
    let text = told(&second, &subject(10));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines.iter().all(|line| line.starts_with("would: ")), "{text}");
    assert!(lines[0].contains("is hostile (by unknown: x)"), "{text}");
    assert_eq!(lines[1], "would: alice had said benign: our own test");
    assert!(lines[2].contains("c-0000000000000000, ") && lines[2].contains("and 2 more"), "{text}");
    let back = order(store.clone(), None, "mistaken");
    let aliased = LabelSubject { alias: Some("c-1 became part of c-7".to_owned()), ..subject(0) };
    let text = told(&back, &aliased);
    assert!(text.starts_with("c-1 became part of c-7\nthe word on c-0000000000000007 is taken back"), "{text}");
    assert_eq!(Store::open_read_only(&store).unwrap().labels().unwrap().len(), 2, "the dry run wrote nothing");
}

#[test]
fn reasons_and_names_are_one_printable_bounded_line_and_a_reason_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.db");
    drop(Store::open(&store).unwrap());
    for nothing in ["", " \t\n "] {
        let refused = say(&order(store.clone(), Some(Call::Benign), nothing), &subject(0), &mut Vec::new());
        assert!(refused.unwrap_err().to_string().contains("a reason is needed"));
    }
    let long = format!("\u{1b}[2J\u{202e}\r\n{}", "é".repeat(100_000));
    let hostile = LabelOrder { by: Some(long.clone()), ..order(store.clone(), Some(Call::Benign), &long) };
    let text = told(&hostile, &subject(0));
    assert!(text.trim_end().chars().all(|c| !c.is_control()) && text.len() < 1_000, "{text}");
    let kept = Store::open_read_only(&store).unwrap().labels().unwrap();
    assert!(kept[0].why.len() <= WHY_BYTES_MAX && kept[0].by.len() <= BY_BYTES_MAX, "{kept:?}");
    assert!(kept[0].why.starts_with("\\u{1b}[2J\\u{202e}"), "{kept:?}");
}
