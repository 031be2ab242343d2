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

/// One line of labelled data: where it is from, its name there, its class, the message.
struct Labelled<'a> {
    source: &'a str,
    name: &'a str,
    class: &'a str,
    message: String,
}

fn labelled(text: &str) -> Vec<Labelled<'_>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.splitn(4, '\t').collect();
        let [source, name, class, message] = fields[..] else { panic!("four fields are needed: {line}") };
        rows.push(Labelled { source, name, class, message: message.replace("\\n", "\n") });
    }
    rows
}

const FIXTURES: &str = include_str!("../../../tests/data/messages/fixtures.tsv");
const WORDINGS: &str = include_str!("../../../tests/data/messages/wordings.tsv");

/// Least share of messages that get their class.
const RIGHT_SHARE_MIN: f64 = 0.99;

#[test]
fn of_the_labelled_messages_at_least_99_in_100_get_their_class() {
    let model = builtin();
    for (text, n_least) in [(FIXTURES, 700), (WORDINGS, 300)] {
        let rows = labelled(text);
        assert!(rows.len() >= n_least, "{}", rows.len());
        let mut wrong = Vec::new();
        for row in &rows {
            assert!(model.response(row.class).is_some(), "no such class: {}", row.class);
            let found = classify(model, &row.message).class;
            if found != row.class {
                wrong.push(format!("{}: {}: {found} instead of {}: {}", row.source, row.name, row.class, row.message));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let share = (rows.len() - wrong.len()) as f64 / rows.len() as f64;
        println!(
            "{} of {} ({:.1} %) as labelled; others: {wrong:#?}",
            rows.len() - wrong.len(),
            rows.len(),
            share * 100.0
        );
        assert!(share >= RIGHT_SHARE_MIN, "{share}: {wrong:#?}");
    }
}

#[test]
fn only_consequences_are_secondary() {
    const CONSEQUENCES: [&str; 5] =
        ["mutex_poison", "once_poison", "poll_after_panic", "child_panic", "module_terminated"];
    let model = builtin();
    for row in labelled(FIXTURES).iter().chain(&labelled(WORDINGS)) {
        let found = classify(model, &row.message);
        assert_eq!(found.secondary, CONSEQUENCES.contains(&row.class), "{}: {}", row.name, row.message);
    }
}

/// Wordings that must not decide where input quotes them.
const QUOTED: [&str; 12] = [
    "ParseIntError { kind: Empty }",
    "Utf8Error",
    "PoisonError { .. }",
    "JoinError::Panic(",
    "task 5 panicked",
    "JsValue(x)",
    "missing field x",
    "channel closed",
    "NulError",
    "attempt to divide by zero",
    "index out of bounds",
    "Os { code: 2, kind: NotFound }",
];

proptest! {
    #[test]
    fn input_in_quotes_never_decides_the_class(
        at in 0..QUOTED.len(), before in "[a-z]{2,8}( [a-z]{2,8}){0,2}", mark in "[\"`']", depth in 0_usize..4,
    ) {
        let model = builtin();
        let quoted = format!("{before} {mark}{}{mark}", QUOTED[at]);
        prop_assert_eq!(&classify(model, &quoted).class, "custom", "{}", quoted);
        let mut error = format!("{quoted:?}");
        for _ in 0..depth {
            error = format!("Wrap({error})");
        }
        let unwrapped = format!("called `Result::unwrap()` on an `Err` value: {error}");
        prop_assert_eq!(&classify(model, &unwrapped).class, "result_err", "{}", unwrapped);
        let field = format!("called `Result::unwrap()` on an `Err` value: NoUser {{ name: {:?} }}", QUOTED[at]);
        prop_assert_eq!(&classify(model, &field).class, "result_err", "{}", field);
    }

    #[test]
    fn a_printed_error_is_found_however_deep_it_is_wrapped(depth in 0_usize..300, way in 0..4_usize) {
        let (open, close) = [("W(", ")"), ("W { source: ", " }"), ("Custom { kind: Other, error: ", " }"), ("Err(", ")")][way];
        let depth = depth.min((EXAMINED_BYTES_MAX - 200) / open.len());
        let error = format!("{}ParseIntError {{ kind: Empty }}{}", open.repeat(depth), close.repeat(depth));
        let found = classify(builtin(), &format!("called `Result::unwrap()` on an `Err` value: {error}"));
        prop_assert_eq!(found.class, "parse");
    }
}

#[test]
fn a_chain_of_causes_is_found_to_its_root() {
    let mut chain = "called `Result::unwrap()` on an `Err` value: handle request\n\nCaused by:\n".to_owned();
    chain.extend((0..40).map(|n| format!("{n:>5}: step number {n}\n")));
    assert_eq!(classify(builtin(), &chain).class, "result_err");
    chain.push_str("   40: invalid digit found in string");
    assert!(chain.len() < EXAMINED_BYTES_MAX);
    assert_eq!(classify(builtin(), &chain).class, "parse");
}
