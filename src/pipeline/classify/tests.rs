use proptest::prelude::*;

use super::*;

/// Made once: a debug build takes a while to compile eighty patterns.
static BUILTIN: std::sync::LazyLock<PanicModel> = std::sync::LazyLock::new(|| PanicModel::builtin().unwrap());

fn builtin() -> &'static PanicModel {
    &BUILTIN
}

fn check(message: &str, class: &str, masked: &str) {
    let found = classify(builtin(), message);
    assert_eq!((found.class.as_str(), found.masked.as_str()), (class, masked), "{message:?}");
}

#[test]
fn fixed_wordings_are_kept_with_their_numbers_masked() {
    check("called `Option::unwrap()` on a `None` value", "option_none", "called `Option::unwrap()` on a `None` value");
    check(
        "index out of bounds: the len is 3 but the index is 9",
        "index_oob",
        "index out of bounds: the len is # but the index is #",
    );
    check("attempt to divide by zero", "div_zero", "attempt to divide by zero");
    check("", "opaque_payload", "no message");
}

#[test]
fn the_error_that_unwrap_prints_decides() {
    let unwrap = |error: &str| format!("called `Result::unwrap()` on an `Err` value: {error}");
    let masked = |error: &str| format!("called `Result::unwrap()` on an `Err` value: {error}");
    check(&unwrap("ParseIntError { kind: InvalidDigit }"), "parse", &masked("ParseIntError"));
    check(&unwrap("ParseIntError { kind: Empty }"), "parse", &masked("ParseIntError"));
    check(&unwrap("Error(\"expected value\", line: 1, column: 0)"), "serde", &masked("Error"));
    check(&unwrap("FromUtf8Error { bytes: [97, 255], error: Utf8Error { .. } }"), "utf8", &masked("FromUtf8Error"));
    check(&unwrap("Custom { kind: InvalidData, error: Error(\"x\", line: 1, column: 2) }"), "serde", &masked("Custom"));
    check(&unwrap("\"invalid digit found in string\""), "parse", &masked("<*>"));
    check(&unwrap("MyError(7)"), "result_err", &masked("MyError"));
    check(&unwrap("some words of anyhow"), "result_err", &masked("<*>"));
}

#[test]
fn expect_texts_keep_the_words_and_not_the_error() {
    check("price upper bound: ParseIntError { kind: Empty }", "parse", "price upper bound: <parse>");
    check("price upper bound: ParseIntError { kind: InvalidDigit }", "parse", "price upper bound: <parse>");
    check("decode body: \"raw\"", "custom", "decode body: <*>");
    check("amount in minor units", "custom", "amount in minor units");
    check("unmapped administrative sex \"N\"", "custom", "unmapped administrative sex <*>");
    check(
        "assertion `left == right` failed: control sum\n  left: 12\n right: 13",
        "assert_eq",
        "assertion `left == right` failed: control sum",
    );
    check(
        "assertion `left == right` failed\n  left: \"a` failed: secret\"\n right: 13",
        "assert_eq",
        "assertion `left == right` failed",
    );
    check(
        "internal error: entered unreachable code: operator gte",
        "unreachable",
        "internal error: entered unreachable code",
    );
    check("query depth 41 exceeds plan limit", "custom", "query depth # exceeds plan limit");
}

#[test]
fn wrappers_of_carriers_are_taken_off() {
    for message in [
        "Error: Rust panic: panicked at src/lib.rs:10:79:\nattempt to divide by zero",
        "Uncaught (in response) PanicError: attempt to divide by zero",
        "panicked at src/lib.rs:10:79:\nattempt to divide by zero",
        "\nthread 'main' (12) panicked at src/lib.rs:1:2:\nattempt to divide by zero\nnote: run with `RUST_BACKTRACE=1` …",
        "thread '<unnamed>' panicked at 'attempt to divide by zero', src/main.rs:3:4",
        "panicked at src/lib.rs:1:2:\nattempt to divide by zero\n\nStack:\n\nat foo",
    ] {
        check(message, "div_zero", "attempt to divide by zero");
    }
    check("panicked at src/lib.rs:12:17", "opaque_payload", "no message");
    check("panicked at the disco", "custom", "panicked at the disco");
}

#[test]
fn wordings_of_all_releases_have_one_class_and_one_mask() {
    for (class, wordings) in [
        (
            "str_boundary",
            vec![
                "byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3) of `héllo`",
                "end byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3) of `héllo`",
                "start byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3 of string)",
            ],
        ),
        (
            "str_oob",
            vec![
                "byte index 20 is out of bounds of `hello`",
                "end byte index 20 is out of bounds for string of length 5",
            ],
        ),
        ("refcell", vec!["already borrowed: BorrowMutError", "RefCell already borrowed"]),
        (
            "assert_eq",
            vec![
                "assertion failed: `(left == right)`\n  left: `1`,\n right: `2`",
                "assertion `left == right` failed\n  left: 1\n right: 2",
            ],
        ),
        (
            "narrowing",
            vec![
                "called `Result::unwrap()` on an `Err` value: TryFromIntError(())",
                "called `Result::unwrap()` on an `Err` value: TryFromIntError(PosOverflow)",
            ],
        ),
        (
            "len_mismatch",
            vec![
                "source slice length (3) does not match destination slice length (4)",
                "copy_from_slice: source slice length (3) does not match destination slice length (4)",
            ],
        ),
    ] {
        let model = builtin();
        let found: Vec<Classified> = wordings.iter().map(|wording| classify(model, wording)).collect();
        assert!(found.iter().all(|one| one.class == class && one.masked == found[0].masked), "{found:?}");
    }
}

#[test]
fn consequences_are_secondary_and_quoted_input_is_none() {
    let secondary = |message: &str| classify(builtin(), message).secondary;
    for message in [
        "called `Result::unwrap()` on an `Err` value: PoisonError { .. }",
        "called `Result::unwrap()` on an `Err` value: JoinError::Panic(Id(5), \"boom\", ...)",
        "ledger lock: PoisonError { .. }",
        "LazyLock instance has previously been poisoned",
        "`async fn` resumed after panicking",
        "a scoped thread panicked",
        "Module terminated",
    ] {
        assert!(secondary(message), "{message}");
    }
    for message in [
        "called `Option::unwrap()` on a `None` value",
        "`async fn` resumed after completion",
        "called `Result::unwrap()` on an `Err` value: Error(\"unknown field `PoisonError { .. }`\", line: 1, column: 2)",
        "unknown name \"PoisonError { .. }\"",
        "end byte index 3 is out of bounds of `PoisonError { .. }`",
        "bad name: \"JoinError::Panic(\"",
        "JoinError::Cancelled(Id(4))",
    ] {
        assert!(!secondary(message), "{message}");
    }
}

/// Places where real messages carry input; `{}` is where it stands.
const CARRIERS: &[&str] = &[
    "end byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3) of `{}`",
    "byte index 20 is out of bounds of `{}`",
    "begin <= end (3 <= 1) when slicing `{}`",
    "called `Result::unwrap()` on an `Err` value: Error(\"invalid type: string \\\"{}\\\", expected u8\", line: 1, column: 8)",
    "called `Result::unwrap()` on an `Err` value: Error(\"unknown field `{}`, expected `a`\", line: 1, column: 11)",
    "called `Result::unwrap()` on an `Err` value: \"{}\"",
    "called `Result::unwrap()` on an `Err` value: {} was refused",
    "called `Result::unwrap()` on an `Err` value: Custom { kind: Other, error: \"{}\" }",
    "called `Result::unwrap_err()` on an `Ok` value: \"{}\"",
    "no entry found for key \"{}\"",
    "cannot access key \"{}\" in JSON number",
    "decode body: \"{}\"",
    "decode body: {}",
    "unknown variant `{}`, expected `A` or `B` at line 1 column 3",
    "assertion `left == right` failed\n  left: \"{}\"\n right: \"b\"",
    "assertion `left == right` failed: bad sum \"{}\"\n  left: 1\n right: 2",
    "assertion failed: `(left == right)`\n  left: `\"{}\"`,\n right: `2`: text",
    "internal error: entered unreachable code: state \"{}\"",
    "not yet implemented: kind `{}`",
    "static str is not valid URI: {}",
    "unmapped administrative sex \"{}\"",
    "no such plan '{}' here",
    "no such plan [{}]",
    "no such plan ({}) {{}} <{}>",
    "JsValue(\"{}\")",
    "Cannot start a runtime {}",
    "expected a string argument, found {}",
    "already borrowed: BorrowMutError; a previous borrow was at {}",
    "first line\n{}",
    "thread '{}' panicked at src/lib.rs:1:2:\nattempt to divide by zero",
    "panicked at {}:1:2:\nattempt to divide by zero",
    "unsafe precondition(s) violated: {}",
    "'{}' is odd",
    "\"{}",
];

proptest! {
    #[test]
    fn no_input_survives_where_messages_carry_it(at in 0..CARRIERS.len(), token in "[a-z]{6,30}", wild in "\\PC{0,12}") {
        let canary = format!("zq{token}");
        let message = CARRIERS[at].replace("{}", &format!("{wild} {canary} {wild}"));
        let plain = CARRIERS[at].replace("{}", &canary);
        let model = builtin();
        // A mark inside the input may close a quotation early; then a free text may keep plain words, as documented.
        if !wild.contains(['"', '`', '\'', '[', ']', '{', '}', '(', ')', '<', '>', '\\']) {
            prop_assert!(!classify(model, &message).masked.contains(&canary), "{message}");
        }
        prop_assert!(!classify(model, &plain).masked.contains(&canary), "{plain}");
    }

    #[test]
    fn tokens_are_masked_even_in_bare_free_text(token in "[a-zA-Z]{0,8}[0-9@=%$é][a-zA-Z0-9@=%$é]{3,40}") {
        let masked = classify(builtin(), &format!("refused plan {token} today")).masked;
        prop_assert!(!masked.contains(&token), "{masked}");
    }

    #[test]
    fn secrets_of_letters_alone_are_masked_where_their_case_shows_them(token in "[a-z]{1,9}_[a-z]{0,9}[A-Z][A-Za-z]{1,20}") {
        let masked = classify(builtin(), &format!("refused plan {token} today")).masked;
        prop_assert!(!masked.contains(&token), "{masked}");
    }

    #[test]
    fn any_message_gives_one_bounded_printable_line(message in any::<String>()) {
        let found = classify(builtin(), &message);
        prop_assert!(found.masked.len() <= MASKED_BYTES_MAX);
        prop_assert!(found.masked.bytes().all(|b| (b' '..=b'~').contains(&b)), "{:?}", found.masked);
    }

    #[test]
    fn the_same_bug_has_the_same_mask_whatever_the_input(at in 0..CARRIERS.len(), one in "[a-z]{3,9}", two in "[a-z]{3,9}") {
        let model = builtin();
        let masked = |input: &str| classify(model, &CARRIERS[at].replace("{}", input)).masked;
        prop_assert_eq!(masked(&one), masked(&two));
    }
}

#[test]
fn huge_and_hostile_messages_are_cut_and_stay_cheap() {
    let model = builtin();
    for message in [
        "(".repeat(1 << 20),
        "\"`'[({<".repeat(100_000),
        "called `Result::unwrap()` on an `Err` value: ".repeat(30_000),
        "Error(\"".repeat(100_000),
        "a ".repeat(500_000),
        "é".repeat(500_000),
        "thread '".repeat(100_000),
    ] {
        assert!(classify(model, &message).masked.len() <= MASKED_BYTES_MAX);
    }
}

#[test]
fn a_memo_changes_nothing_but_the_price() {
    let (model, mut memo) = (builtin(), Memo::new(2));
    for message in ["attempt to divide by zero", "first boundary", &"x".repeat(600), "attempt to divide by zero"] {
        assert_eq!(*classify_memoised(model, &mut memo, message), classify(model, message));
    }
    let long = "y".repeat(MEMO_BYTES_MAX + 1);
    classify_memoised(model, &mut memo, &long);
    assert_eq!(memo.get(long.as_str()), None);
}

#[test]
fn every_fault_of_a_model_is_named_at_once() {
    let wrong = "extra = 1\nversion = 3\n\
        [[class]]\nid = \"a\"\nsurface = \"moon\"\nbucket = \"retry_safe\"\nstatus = 200\nadvice = \"\"\n\
        [[class]]\nid = \"a\"\nsurface = \"ffi\"\nbucket = \"retry_safe\"\nstatus = 500\n\
        [[outer]]\nclass = \"b\"\npattern = '('\nmask = \"m\"\nword_after = \"x\"\n\
        [[outer]]\nclass = \"a\"\npattern = '^x .*$'\n\
        [[inner]]\nclass = \"a\"\n";
    let faults = PanicModel::parse(wrong).unwrap_err().faults;
    for place in [
        "extra",
        "version",
        "class[0].surface",
        "class[0].status",
        "class[1].id",
        "class[1].advice",
        "outer[0].class",
        "outer[0].pattern",
        "outer[0].word_after",
        "outer[1].mask",
        "inner[0].pattern",
        "class",
    ] {
        assert!(faults.iter().any(|fault| fault.place == place), "{place} in {faults:#?}");
    }
    assert!(PanicModel::parse("\u{0}").unwrap_err().to_string().contains("the whole text"));
    assert!(PanicModel::parse("").is_err());
}

#[test]
fn every_class_has_an_answer() {
    let model = builtin();
    assert_eq!(model.response("serde").map(|answer| answer.status), Some(400));
    assert_eq!(model.response("no such class"), None);
    assert!(!model.version().is_empty());
}

/// Classes of real messages by the names that their programs gave them, where these names say the class.
const EXPECTED: &[(&str, &str)] = &[
    ("Option::unwrap", "option_none"),
    ("Result::unwrap", "result_err"),
    ("Result::unwrap_err", "result_ok"),
    ("Vec index", "index_oob"),
    ("slice ..end", "slice_range"),
    ("str boundary ..", "str_boundary"),
    ("str oob end", "str_oob"),
    ("str begin>end", "str_order"),
    ("add", "int_overflow"),
    ("div0", "div_zero"),
    ("RefCell borrow_mut x2", "refcell"),
    ("unreachable msg", "unreachable"),
    ("todo", "todo"),
    ("panic!()", "explicit"),
    ("panic_any", "opaque_payload"),
    ("assert", "assert"),
    ("assert_eq msg", "assert_eq"),
    ("capacity", "capacity"),
    ("mutex poisoned", "mutex_poison"),
    ("join unwrap", "child_panic"),
    ("mpsc send", "channel_state"),
    ("array try_into", "len_mismatch"),
    ("int try_into", "narrowing"),
    ("HashMap index", "missing_key"),
    ("utf8", "utf8"),
    ("CString nul", "cstr"),
    ("parse i32", "parse"),
    ("parse ip", "parse"),
    ("io open", "environment"),
    ("async resumed after panicking", "poll_after_panic"),
    ("thread scope", "child_panic"),
    ("json Value index obj write", "json_index"),
    ("tokio cancelled", "child_cancelled"),
    ("base64", "codec"),
    ("bytes get_u32", "buf_underflow"),
    ("http hv static", "static_input"),
    ("no reactor", "runtime_misuse"),
];

/// Messages of free words, which are `custom` by right: name and message.
const FREE_WORDS: &[(&str, &str)] = &[
    ("Option::expect", "need config"),
    ("Result::expect", "parse header: E(1)"),
    ("Result::expect_err", "should fail: 3"),
    ("assert msg", "bad 1"),
    ("expect fmt", "decode body: \"raw\""),
];

/// Label and message of a file of real messages: what stands behind the last ` @@` or tab is where it was seen.
fn messages(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    let messages = lines.map(|(name, rest)| {
        let message = rest.split_once("  @@").or_else(|| rest.split_once('\t')).map_or(rest, |(message, _)| message);
        (name.trim().to_owned(), message.replace("\\n", "\n"))
    });
    messages.filter(|(_, message)| message != "NO PANIC").collect()
}

#[test]
fn real_messages_of_rust_and_of_crates_are_recognised() {
    let model = builtin();
    let (mut n_messages, mut unknown) = (0, Vec::new());
    for text in [
        include_str!("../../../tests/data/messages/panic_messages_rust-1.95.tsv"),
        include_str!("../../../tests/data/messages/panic_messages_rust-1.97-nightly.tsv"),
        include_str!("../../../tests/data/messages/panic_messages_more_rust-1.95.tsv"),
        include_str!("../../../tests/data/messages/third_party_error_texts.tsv"),
    ] {
        for (name, message) in messages(text) {
            let found = classify(model, &message);
            if FREE_WORDS.contains(&(name.as_str(), message.as_str())) {
                assert_eq!(found.class, "custom", "{name}: {message}");
                continue;
            }
            n_messages += 1;
            if found.class == "custom" {
                unknown.push((name.clone(), message.clone()));
            }
            if let Some((_, class)) = EXPECTED.iter().find(|(known, _)| *known == name) {
                assert_eq!(found.class, *class, "{name}: {message}");
            }
        }
    }
    assert!(n_messages > 400, "the files were not read: {n_messages}");
    assert_eq!(unknown, [], "of {n_messages}");
}

#[test]
fn the_words_of_the_standard_library_are_never_taken_for_a_consequence_wrongly() {
    let model = builtin();
    let mut n_read = 0;
    for line in include_str!("../../../tests/data/messages/std_panic_strings_1.96.tsv").lines() {
        let words = line.split('\t').next().unwrap_or_default().trim_matches('"');
        let found = classify(model, words);
        let about_a_consequence =
            ["poison", "after panicking", "scoped thread"].iter().any(|part| words.contains(part));
        assert!(!found.secondary || about_a_consequence, "{words}");
        n_read += 1;
    }
    assert!(n_read > 100);
}
