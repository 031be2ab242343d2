//! The lines of a backtrace → function names.
//!
//! Reads one line as `std::backtrace` prints it, short or full; gives the function without address, hash and crate
//! disambiguator. Frames of the standard library and of the runtime are left out: they are the same for every panic, and
//! the location tells what of std panicked. Cost: linear in the line.

use std::borrow::Cow;

use super::super::site::without_hashes;

/// What a line is within a backtrace.
#[derive(Debug, PartialEq)]
pub(in crate::pipeline) enum Frame<'a> {
    /// A function of the program or of one of its dependencies.
    Function(Cow<'a, str>),
    /// Part of the backtrace, and nothing that is kept.
    Skipped,
    /// The backtrace is over.
    End,
}

/// Reads a line of a backtrace.
pub(in crate::pipeline) fn read(line: &str) -> Frame<'_> {
    let words = line.trim();
    if words.starts_with("at ") && line.starts_with(' ') || words.starts_with("[... omitted ") {
        return Frame::Skipped;
    }
    let Some((number, function)) = words.split_once(": ") else { return Frame::End };
    if number.is_empty() || number.len() > 6 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Frame::End;
    }
    let function = function.trim_start();
    let function = match function.split_once(" - ") {
        Some((address, function)) if address.starts_with("0x") => function,
        _ => function,
    };
    let function = without_hashes(function);
    if is_of_runtime(&function) { Frame::Skipped } else { Frame::Function(function) }
}

/// The functions of a whole backtrace, innermost first, at most `n_max`.
pub(super) fn functions(backtrace: &str, n_max: usize) -> Vec<Cow<'_, str>> {
    let function = |line| match read(line) {
        Frame::Function(function) => Some(function),
        Frame::Skipped | Frame::End => None,
    };
    backtrace.lines().filter_map(function).take(n_max).collect()
}

/// Whether a function is one of the standard library, of the C runtime, or of a hook that reports panics.
fn is_of_runtime(function: &str) -> bool {
    const CRATES: [&str; 8] = ["core", "std", "alloc", "__rustc", "test", "backtrace", "tracing_panic", "log_panics"];
    const FUNCTIONS: [&str; 9] = [
        "main",
        "_start",
        "start_thread",
        "clone",
        "clone3",
        "rust_begin_unwind",
        "rust_panic",
        "<unknown>",
        "thread_start",
    ];
    let bare = function.trim_start_matches(['<', '&', '(']);
    let bare = bare.strip_prefix("dyn ").unwrap_or(bare).trim_start_matches("impl ");
    let first = bare.split("::").next().unwrap_or(bare);
    // `<usize as core::…>`: a type without a crate has its trait's.
    let krate = first.rsplit_once(" as ").map_or(first, |(_, krate)| krate);
    FUNCTIONS.contains(&function)
        || function.starts_with("__rust")
        || function.starts_with("__libc_start")
        || function.starts_with("__GI_")
        || (bare.len() > first.len() && CRATES.contains(&krate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(read(line), expected.map_or(Frame::Skipped, |name| Frame::Function(name.into())), "{line}");
    }

    #[test]
    fn short_and_full_frames_give_the_function_alone() {
        check("   3: shop::cart::total", Some("shop::cart::total"));
        check("  19:     0x5612a67f37f7 - h::main::f::h4ba1fec2b72627ff", Some("h::main::f"));
        check(
            "   4: <shop[0123456789abcdef]::Cart as shop[0123456789abcdef]::Sum>::sum",
            Some("<shop::Cart as shop::Sum>::sum"),
        );
        check("   5: shop::first::<[u8]>", Some("shop::first::<[u8]>"));
        check("             at ./src/main.rs:24:92", None);
        check("      [... omitted 12 frames ...]", None);
    }

    #[test]
    fn frames_of_the_runtime_are_left_out() {
        for function in [
            "core::panicking::panic_fmt",
            "<usize as core::slice::index::SliceIndex<[T]>>::index",
            "std[e28293b1aa0f68bd]::panicking::default_hook",
            "__rust_try",
            "<alloc::vec::Vec<T,A> as core::ops::index::Index<I>>::index",
            "main",
            "__libc_start_call_main",
            "__rustc[b7974e8690430dd9]::rust_begin_unwind",
            "<&dyn core::ops::function::Fn<()> as core::ops::function::FnOnce<()>>::call_once",
        ] {
            check(&format!("   7: {function}"), None);
        }
        check("   7: main_loop::run", Some("main_loop::run"));
    }

    #[test]
    fn anything_else_ends_a_backtrace() {
        for line in ["", "boom", "note: Some details are omitted", "x: y", "12345678: z", "at home"] {
            assert_eq!(read(line), Frame::End, "{line}");
        }
    }
}
