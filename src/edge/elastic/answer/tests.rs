//! The table of bulk answers: one literal reply a file in `tests/data/bulk`, each with its source and what it means.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
}

fn name(word: &Word) -> &'static str {
    match word {
        Word::Final(fate, _) => fate.name(),
        Word::Retry(_) => "retry",
        Word::Overloaded(_) => "overloaded",
        Word::Hold(_) => "hold",
    }
}

fn told(reading: &Reading) -> Value {
    match reading {
        Reading::Words(said) => said.iter().map(name).collect(),
        Reading::Retry { slow_down: true, .. } => "overloaded".into(),
        Reading::Retry { .. } => "retry".into(),
        Reading::Hold { .. } => "hold".into(),
        Reading::TooLarge { .. } => "too large".into(),
        Reading::Accepted { .. } => "accepted".into(),
        Reading::Pending { .. } => "pending".into(),
        Reading::Poison { .. } => "poison".into(),
    }
}

#[test]
fn every_literal_reply_means_what_its_file_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bulk");
    let mut meanings = BTreeSet::new();
    let mut n_files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let body = file["body"].as_str().map_or_else(|| file["body"].to_string(), str::to_owned);
        let status = u16::try_from(file["status"].as_u64().unwrap()).unwrap();
        let sent = usize::try_from(file["sent"].as_u64().unwrap()).unwrap();
        let stream = file["data_stream"].as_str().unwrap_or("logs-panicsift.alert-default");
        assert!(file["source"].as_str().is_some_and(|source| source.len() > 10), "{}: no source", path.display());
        let meaning = told(&read(&reply(status, &body), sent, stream));
        assert_eq!(meaning, file["expected"], "{}", path.display());
        meanings.insert(meaning.to_string());
        n_files += 1;
    }
    assert!(n_files > 60, "only {n_files} replies were found");
    assert!(meanings.len() > 10, "{meanings:?}");
}

#[track_caller]
fn check_word(item: &str, expected: &str) {
    let body = format!(r#"{{"items":[{{"create":{item}}}]}}"#);
    let Reading::Words(said) = read(&reply(200, &body), 1, "logs-x") else { panic!("{item}") };
    let detail = match &said[0] {
        Word::Final(_, detail) | Word::Hold(detail) | Word::Retry(detail) | Word::Overloaded(detail) => detail,
    };
    assert_eq!(detail, expected);
}

#[test]
fn an_answer_gives_a_proof_that_can_be_looked_up_or_the_server_s_words() {
    check_word(
        r#"{"_index":".ds-logs-x-000001","_id":"a-1","_seq_no":17,"status":201}"#,
        "_index=.ds-logs-x-000001 _id=a-1 _seq_no=17",
    );
    check_word(
        r#"{"_index":".ds-logs-x-000001","_id":"a-1","status":409,"error":{"type":"t","reason":"r"}}"#,
        "_index=.ds-logs-x-000001 _id=a-1",
    );
    check_word(
        r#"{"_index":"logs-x","_id":"a-1","_seq_no":0,"status":201}"#,
        "_index=logs-x _id=a-1 _seq_no=0, put into a plain index: no data stream has this name",
    );
    check_word(r#"{"_id":"a","status":400,"error":{"type":"t","reason":"line\nbreak\u001b"}}"#, "400 t: line break");
    check_word(r#"{"_index":"x\n\u202e","_id":"a","status":201}"#, "_index=x \u{fffd} _id=a");
}

#[test]
fn a_wish_to_be_left_alone_is_passed_on() {
    let asked = Reply { status: 503, retry_after_secs: Some(7), ..Reply::default() };
    let Reading::Retry { after, .. } = read(&asked, 1, "x") else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(7)));
}

proptest::proptest! {
    #[test]
    fn nothing_but_a_full_account_delivers_anything(status in 0_u16..700, body in ".{0,80}", n in 1_usize..4) {
        let reading = read(&reply(status, &body), n, "x");
        let accepts = matches!(reading, Reading::Words(_) | Reading::Accepted { .. });
        proptest::prop_assert!(!accepts, "{reading:?}");
    }
}
