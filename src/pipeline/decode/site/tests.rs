use super::*;

#[track_caller]
fn check_told(text: &str, expected: Option<(&str, &str, u32, u32, Option<&str>)>) {
    for text in [Cow::Borrowed(text), Cow::Owned(text.to_owned())] {
        let told = told(&text);
        let told = told.as_ref().map(|told| {
            let Place { file, line, column } = &told.place;
            (told.message.as_ref(), file.as_ref(), line.unwrap_or(0), column.unwrap_or(0), told.thread.as_deref())
        });
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn a_panics_own_text_is_read_in_the_forms_of_every_release() {
    check_told("panicked at src/main.rs:26:22:\nboom", Some(("boom", "src/main.rs", 26, 22, None)));
    check_told("thread 'main' panicked at src/main.rs:1:2:\na\nb\n", Some(("a\nb", "src/main.rs", 1, 2, Some("main"))));
    check_told(
        "\nthread 'tokio-rt-worker' (77) panicked at C:\\x\\a.rs:1:2:\nboom\nnote: run with `RUST_BACKTRACE=1` …",
        Some(("boom", "C:\\x\\a.rs", 1, 2, Some("tokio-rt-worker"))),
    );
    check_told(
        "thread 'main' panicked at 'it's, 'here', src/main.rs:3:4\nnote: run with `RUST_BACKTRACE=1`",
        Some(("it's, 'here", "src/main.rs", 3, 4, Some("main"))),
    );
    check_told(
        "Error: Rust panic: panicked at src/lib.rs:8:68:\nMSG\n\nStack:\n\nat x",
        Some(("MSG", "src/lib.rs", 8, 68, None)),
    );
    check_told("panicked at src/lib.rs:12:17", Some(("", "src/lib.rs", 12, 17, None)));
}

#[test]
fn what_only_mentions_a_panic_is_none() {
    for text in [
        "",
        "panicked",
        "panicked at ",
        "panicked at :1:2",
        "panicked at a.rs:1",
        "panicked at a.rs:x:1",
        "panicked at a.rs:1:99999999999",
        "panicked at 'x",
        "thread 'main",
        "thread 'a\nb' waits",
        "name is\npanicked at src/main.rs:1:1:\nboom",
        "user panicked at src/main.rs:1:1:",
    ] {
        check_told(text, None);
    }
}

#[test]
fn the_site_is_the_first_frame_below_the_machinery() {
    let text = Cow::Borrowed(
        "   0: hook\n             at /build/src/telemetry.rs:9:9\n   1: core::ops::function::Fn::call\n             \
         at /rustc/59807616e1fa/library/core/src/ops/function.rs:79:5\n   2: __rustc::rust_begin_unwind\n   \
         3: core::panicking::panic_fmt\n   4: <usize as core::slice::index::SliceIndex<[T]>>::index\n   \
         5: <alloc::vec::Vec<T,A> as core::ops::index::Index<I>>::index\n   6: unwrap<u8>\n             \
         at /rustc/59807616e1fa/library/core/src/result.rs:1:1\n   7: shop::orders::create::h0123456789abcdef\n             \
         at /build/7/shop/src/orders.rs:24:92\n   8: std::panicking::catch_unwind::do_call\n",
    );
    let (site, functions) = printed(&text);
    assert_eq!(site, Some(Place { file: "/build/7/shop/src/orders.rs".into(), line: Some(24), column: Some(92) }));
    assert_eq!(functions, ["shop::orders::create", "std::panicking::catch_unwind::do_call"]);
    assert_eq!(printed(&Cow::Owned(text.into_owned())), (site, functions));
}

#[test]
fn a_backtrace_without_machinery_begins_at_the_first_frame_that_is_ones_own() {
    let text =
        Cow::Borrowed("0: sentry_panic::handler\n1: core::option::expect_failed\n2: shop::f\n at ./src/a.rs:1:2");
    let (site, functions) = printed(&text);
    assert_eq!(site.map(|place| place.file), Some("./src/a.rs".into()));
    assert_eq!(functions, ["shop::f"]);
    for nothing in ["", "x", ": ", "at a:1:2", "1: std::f\n at x:1:1"] {
        assert_eq!(printed(&Cow::Borrowed(nothing)), (None, Vec::new()), "{nothing}");
    }
}

#[test]
fn a_runaway_backtrace_is_bounded() {
    let text = "7: f\n at src/a.rs:1:1\n".repeat(100_000);
    assert_eq!(printed(&Cow::Owned(text)).1.len(), FRAMES_MAX);
    let long = format!("1: {}", "x".repeat(1 << 20));
    assert_eq!(printed(&Cow::Owned(long)).1.first().map(|name| name.len()), Some(FUNCTION_BYTES_MAX));
}

#[test]
fn files_have_one_name_in_every_build() {
    let check = |file: &str, expected: &str| {
        assert_eq!(stable_file(Cow::Borrowed(file)), expected, "{file}");
        assert_eq!(stable_file(Cow::Owned(file.to_owned())), expected, "{file}");
    };
    check("src/main.rs", "src/main.rs");
    check("./src/main.rs", "src/main.rs");
    check("crates/shop/src/main.rs", "crates/shop/src/main.rs");
    check("/build/17/shop/src/orders/new.rs", "src/orders/new.rs");
    check("C:\\build\\shop\\src\\orders.rs", "src/orders.rs");
    check("/x/.cargo/registry/src/index-1949cf/serde_json-1.0.150/src/de.rs", "serde_json-1.0.150/src/de.rs");
    check("/rustc/59807616e1fa/library/core/src/option.rs", "library/core/src/option.rs");
    check("/build/main.rs", "main.rs");
    check("", "");
    check("/", "");
}
