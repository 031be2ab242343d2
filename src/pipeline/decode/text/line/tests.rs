//! Wordings, literally.

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "headers have it so")]
fn at(file: &'static str, line: u32, column: Option<u32>) -> Option<Location<'static>> {
    Some(Location { file, line, column })
}

#[track_caller]
fn check(line: &str, expected: &Line<'_>) {
    assert_eq!(&read(line), expected, "{line}");
}

#[test]
fn headers_of_every_release_are_read() {
    let header = |thread, number, location, message| Line::Header(Header { thread, number, location, message });
    check(
        "thread 'main' panicked at 'boom', src/main.rs:2:5",
        &header(Some("main"), None, at("src/main.rs", 2, Some(5)), Words::Whole("boom")),
    );
    check(
        "thread 'main' panicked at src/main.rs:2:5:",
        &header(Some("main"), None, at("src/main.rs", 2, Some(5)), Words::Follow),
    );
    check(
        "thread '<unnamed>' (17) panicked at C:\\src\\main.rs:2:5:\r",
        &header(Some("<unnamed>"), Some("17"), at("C:\\src\\main.rs", 2, Some(5)), Words::Follow),
    );
    check("thread 'main' panicked at 'one", &header(Some("main"), None, None, Words::Begin("one")));
    check("panicked at a.rs:1:2", &header(None, None, at("a.rs", 1, Some(2)), Words::Whole(NO_TEXT)));
    check(
        "2026-11-21 05:20:00.1 ERROR panic: thread 'a b' panicked at 'boom': a.rs:7",
        &header(Some("a b"), None, at("a.rs", 7, None), Words::Whole("boom")),
    );
}

#[test]
fn what_has_no_place_or_another_level_is_no_header() {
    for line in [
        "thread 'main' panicked at src/main.rs",
        "thread 'main' panicked at src/main.rs:2:",
        "thread 'main' panicked at src/main.rs:2:x:",
        "thread 'main' panicked at :1:2:",
        "thread 'main' panicked at src/main.rs:99999999999:1:",
        "thread 'main panicked at src/main.rs:2:5:",
        "panicked at 'no thread, no end",
        "panicked at ",
        "thread '",
    ] {
        check(line, &Line::Plain);
    }
    check("2026-11-21T05:20:00Z WARN thread 'main' panicked at a.rs:1:2:", &Line::Log);
    check("[2026-11-21T05:20:00Z INFO  shop] panicked at a.rs:1:2:", &Line::Log);
    check("ERROR said: \"thread 'main' panicked at a.rs:1:2:\"", &Line::Log);
}

#[test]
fn ends_are_told_from_what_mentions_them() {
    let overflow = "thread 'x' (3) has overflowed its stack";
    check(overflow, &Line::Died(overflow, Some("x")));
    check("memory allocation of 12 bytes failed", &Line::Died("memory allocation of 12 bytes failed", None));
    check("memory allocation of many bytes failed", &Line::Plain);
    check("fatal runtime error: stack overflow", &Line::Fatal("stack overflow"));
    check("a fatal runtime error: stack overflow", &Line::Plain);
    check("thread panicked while panicking. aborting.", &Line::Aborting);
    check("stack backtrace:", &Line::Backtrace);
    check("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace", &Line::Note);
}

#[test]
fn colours_are_taken_off() {
    let lines = [("\u{1b}[1;31mred\u{1b}[0m", "red"), ("a\u{1b}[", "a"), ("\u{1b}[é", ""), ("plain", "plain")];
    for (line, expected) in lines {
        assert_eq!(plain(line), expected, "{line:?}");
    }
}
