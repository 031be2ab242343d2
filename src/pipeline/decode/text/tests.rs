//! Whole records that need no gathering.

use crate::pipeline::decode::{Feed, LogLine, Piece, decode};
use crate::pipeline::event::{Carrier, Millis, PanicEvent, Position, RawRecord};

fn read(payload: &[u8]) -> Vec<Piece<'_>> {
    let feed = Feed { carrier: Some(Carrier::Text), service: "topic".to_owned(), tenant: String::new(), time: None };
    let position = Position { topic: "logs", partition: 0, offset: 3 };
    let record = RawRecord { position, broker_time: Some(Millis(1_795_238_400_000)), headers: &[], payload };
    decode(&feed, record).pieces
}

fn event(payload: &str) -> PanicEvent<'static> {
    match read(payload.as_bytes()).swap_remove(0) {
        Piece::Event(event) => event.into_owned(),
        other => panic!("no event: {other:?}"),
    }
}

#[test]
fn a_human_panic_report_is_a_whole_event() {
    for quote in ["", "\""] {
        let report = format!(
            "{quote}name{quote} = \"shop\"\n{quote}operating_system{quote} = \"Debian 12\"\n\
             {quote}crate_version{quote} = \"1.4.2\"\n{quote}explanation{quote} = '''\nPanic occurred in file \
             'src/main.rs' at line 7\n'''\n{quote}cause{quote} = \"boom\"\n{quote}method{quote} = \"Panic\"\n\
             {quote}backtrace{quote} = '''\n\n   0: 0x55 - shop::main\n                at src/main.rs:7\n'''\n"
        );
        let event = event(&report);
        assert_eq!((event.service.as_ref(), event.release.as_deref()), ("shop", Some("1.4.2")));
        let panic = &event.panic;
        assert_eq!((panic.message.as_ref(), panic.file.as_deref(), panic.line), ("boom", Some("src/main.rs"), Some(7)));
        assert_eq!(panic.backtrace, ["shop::main"]);
    }
}

#[test]
fn ordinary_records_are_handed_on_unread() {
    for payload in [&b"hello"[..], b"", b"{\"log\":\"hel", b"\xff\xfe\x00"] {
        assert!(matches!(read(payload).as_slice(), [Piece::Line(LogLine::Unread { .. })]), "{payload:?}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_read_all_the_same() {
    let pieces = read(b"thread 'main' panicked at a.rs:1:2:\nb\xff\xffm");
    assert!(matches!(pieces.as_slice(), [Piece::Line(LogLine::Read(text))] if text.seed.is_some()));
}

#[test]
fn a_megabyte_of_headers_and_of_broken_toml_is_read_in_linear_time() {
    let line = "thread 'main' panicked at a.rs:1:2:\n";
    assert_eq!(read(line.repeat((1 << 20) / line.len()).as_bytes()).len(), 1);
    let toml = format!("name = {}panic explanation", "[".repeat(256 << 10));
    assert_eq!(read(toml.as_bytes()).len(), 1);
}
