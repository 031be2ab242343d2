use super::*;

#[track_caller]
fn check(text: &str, message: &str, place: Option<(&str, u32, u32)>) {
    let panic = hook(text).unwrap();
    assert_eq!(panic.message, message);
    assert_eq!(panic.place.as_ref().map(|(file, line, column)| (file.as_ref(), *line, *column)), place);
}

#[test]
fn place_and_message_are_told_apart_in_every_wording() {
    check("Rust panic: panicked at src/lib.rs:12:17", "", Some(("src/lib.rs", 12, 17)));
    check("Rust panic: panicked at C:\\a b\\lib.rs:1:2:\nx\ny", "x\ny", Some(("C:\\a b\\lib.rs", 1, 2)));
    check("Rust panic: panicked at 'it's', src/a.rs:1:2", "it's", Some(("src/a.rs", 1, 2)));
    check("Rust panic: panicked at nowhere", "nowhere", None);
    check("Rust panic: panicked at a.rs:99999999999:1:\nx", "a.rs:99999999999:1:\nx", None);
    check("Rust panic: panicked at ", "", None);
}

#[test]
fn what_is_no_hook_is_none() {
    for text in
        ["", "Rust panic: ", "panicked at src/a.rs:1:2:\nx", "Error: Rust panic", "x Rust panic: panicked at a:1:1"]
    {
        assert_eq!(hook(text), None, "{text}");
    }
}

#[test]
fn a_cut_text_is_marked() {
    let panic = hook("Rust panic: panicked at a.rs:1:2:\nlong te<<<Logpush: messages truncated>>>").unwrap();
    assert_eq!((panic.message.as_ref(), panic.is_cut), ("long te", true));
}

#[test]
fn broken_arguments_are_none() {
    for raw in ["", "[", "[1,", "5", "null", "{}", "[[[", "\"[\"", "\"\\"] {
        assert!(arguments(raw).into_iter().flatten().filter_map(text_of).all(|text| hook(&text).is_none()), "{raw}");
    }
}
