//! Standard error of a program that really panics, compiled by the `rustc` at hand, through decoder and gatherer.
//!
//! The committed files of `tests/data/carriers/text` hold the wordings of older releases; this holds the one that is used
//! now. Needs `rustc` on the path and nothing else.

use std::process::Command;

use panicsift::pipeline::decode::{Feed, decode};
use panicsift::pipeline::event::{Carrier, Millis, Position, RawRecord, RecoveryOutcome};
use panicsift::pipeline::gather::{Gather, GatherPolicy};

/// What the cases print as their last panic's message, and what became of it. `None`: the wording is std's own.
const TOLD: [(&str, Option<&str>, RecoveryOutcome); 12] = [
    ("literal", Some("boom 1"), RecoveryOutcome::Unknown),
    ("multi_line", Some("multi\n\nline\n  left: 1\n right: 2"), RecoveryOutcome::Unknown),
    ("empty", Some(""), RecoveryOutcome::Unknown),
    ("quotes", Some("it's 'quoted', src/fake.rs:1:1"), RecoveryOutcome::Unknown),
    ("index", Some("index out of bounds: the len is 0 but the index is 3"), RecoveryOutcome::Unknown),
    ("unnamed", Some("boom 2"), RecoveryOutcome::Unknown),
    ("any", Some("Box<dyn Any>"), RecoveryOutcome::Unknown),
    ("twice", Some("said again"), RecoveryOutcome::Unknown),
    ("cannot_unwind", None, RecoveryOutcome::Aborted),
    ("while_unwinding", None, RecoveryOutcome::Aborted),
    ("stack_overflow", None, RecoveryOutcome::Aborted),
    ("out_of_memory", None, RecoveryOutcome::Aborted),
];

#[test]
fn what_a_program_of_this_release_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("cases");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/carriers/stderr/cases.rs");
    let mut compiler = Command::new("rustc");
    compiler.args(["--edition", "2021", "-A", "warnings", "-g", source, "-o"]).arg(&program);
    assert!(compiler.status().unwrap().success());
    for (case, message, recovery) in TOLD {
        for level in ["0", "1"] {
            let run = Command::new(&program).arg(case).env("RUST_BACKTRACE", level).current_dir(dir.path()).output();
            let events = read(&run.unwrap().stderr);
            let last = events.last().unwrap_or_else(|| panic!("{case}: nothing was read"));
            assert_eq!(last.recovery, recovery, "{case}: {last:?}");
            if let Some(message) = message {
                assert_eq!(last.panic.message, message, "{case}");
                assert!(last.panic.file.as_deref().is_some_and(|file| file.ends_with("cases.rs")), "{case}");
                assert_eq!(level == "1", last.panic.backtrace.iter().any(|frame| frame.contains("cases::")), "{case}");
            }
        }
    }
}

fn read(stderr: &[u8]) -> Vec<panicsift::pipeline::event::PanicEvent<'static>> {
    let feed = Feed { carrier: Some(Carrier::Text), service: "cases".to_owned(), tenant: String::new(), time: None };
    let policy = GatherPolicy { join_wait_millis: 0, ..GatherPolicy::FILES };
    let mut gather = Gather::default();
    for (offset, payload) in (0..).zip(stderr.split(|byte| *byte == b'\n')) {
        let position = Position { topic: "stderr", partition: 0, offset };
        let record = RawRecord { position, broker_time: Some(Millis(1_795_238_400_000)), headers: &[], payload };
        let decoded = decode(&feed, record);
        assert_eq!(decoded.refusal, None);
        for piece in decoded.pieces {
            gather.take(&policy, position, piece);
        }
    }
    gather.flush().into_iter().map(|whole| whole.event).collect()
}
