//! V8's stack of a wasm module → the names of its Rust functions.
//!
//! Reads the text of `Error.stack` (of `logs[].errorInfo`, the only one that has the panic's own frames); gives
//! names, innermost first: without the module's name, the hashes of the crates, the address. Frames of the panic
//! machinery, of JavaScript and of wasm-bindgen's glue are left out, and what `AssertUnwindSafe` wraps stands for it,
//! so that the first frames are the service's own.
//!
//! ```text
//!     at pw.wasm.pw[5ac17d578e756de4]::module::function (wasm://wasm/pw.wasm-0025cb5a:wasm-function[410]:0x286b7)
//!     → pw::module::function
//! ```
//!
//! Never: a frame without a name (a module without a name section has only numbers, which each build changes).
//! Limits: [`FRAMES_MAX`] frames of [`FRAME_BYTES_MAX`] bytes, [`LINES_MAX`] lines. Cost: linear, an allocation a
//! frame.

use std::borrow::Cow;

use super::super::FRAMES_MAX;
use super::super::site::without_hashes;

/// Most bytes of a frame's name: generic arguments may go on for kilobytes.
const FRAME_BYTES_MAX: usize = 256;

/// Most lines that are looked at: V8 keeps ten frames by default, worker-build asks for 100.
const LINES_MAX: usize = 256;

/// What wasm-bindgen and the compiler put between Rust and JavaScript.
const GLUE: [&str; 5] = ["js_sys", "wasm_bindgen", "wasm_bindgen_futures", "web_sys", "__rustc"];

/// Wraps every handler, so that its own name says nothing.
const WRAPPER: &str = "<core::panic::unwind_safe::AssertUnwindSafe<";

/// What a stack says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stack {
    /// Function names, innermost first.
    pub(super) frames: Vec<Cow<'static, str>>,
    /// It runs through the panic machinery.
    pub(super) is_panic: bool,
    /// It runs through the handler of failed allocations.
    pub(super) is_out_of_memory: bool,
    /// A frame of it is of a wasm module.
    pub(super) is_wasm: bool,
}

/// Reads a stack.
pub(super) fn read(stack: &str) -> Stack {
    let mut read = Stack::default();
    for line in stack.lines().take(LINES_MAX) {
        let Some((name, is_shim)) = name(line) else { continue };
        read.is_wasm = true;
        let name = plain(name);
        if name.ends_with("::rust_begin_unwind") || name == "rust_begin_unwind" {
            // All above it is the panic machinery: what panicked stands below.
            read.frames.clear();
            read.is_panic = true;
            continue;
        }
        read.is_panic |= name.ends_with("__rust_start_panic");
        read.is_out_of_memory |= name.contains("::rust_oom");
        let krate = name.trim_start_matches('<').split("::").next().unwrap_or_default();
        let is_repeat = read.frames.last().is_some_and(|last| *last == name);
        if !is_shim && !is_repeat && !GLUE.contains(&krate) && read.frames.len() < FRAMES_MAX {
            read.frames.push(Cow::Owned(name));
        }
    }
    read
}

/// The function's name in a line of the stack, and whether it is a shim around another one; `None` for JavaScript.
fn name(line: &str) -> Option<(&str, bool)> {
    let (name, _) = line.trim_start().strip_prefix("at ")?.rsplit_once(" (wasm://")?;
    let (module, function) = name.split_once(".wasm.")?;
    let is_module = !module.contains([':', '<', '[', ' ']);
    is_module.then_some((function, function.ends_with(" shim") || function.ends_with(" catch wrapper")))
}

/// The name without hashes, unwrapped and bounded.
fn plain(name: &str) -> String {
    let head = name.get(..name.floor_char_boundary(4 * FRAME_BYTES_MAX)).unwrap_or(name);
    let mut plain = without_hashes(head).into_owned();
    if let Some(wrapped) = plain.strip_prefix(WRAPPER) {
        plain = inner(wrapped).to_owned();
    }
    plain.truncate(plain.floor_char_boundary(FRAME_BYTES_MAX));
    plain
}

/// The text up to the angle bracket that closes what was open before it.
fn inner(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut previous = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            // The arrow of a function's type is no bracket.
            b'>' if previous == b'-' => {}
            b'>' if depth == 0 => return text.get(..at).unwrap_or(text),
            b'>' => depth -= 1,
            _ => {}
        }
        previous = byte;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stack: &str, expected: &[&str]) {
        assert_eq!(read(stack).frames, expected);
    }

    #[test]
    fn names_are_freed_of_module_hash_and_address() {
        check("    at pw.wasm.pw[5ac17d578e756de4]::a::b (wasm://wasm/pw.wasm-00:wasm-function[4]:0x2)", &["pw::a::b"]);
        check("    at pw.wasm.<pw[5ac17d578e756de4]::A>::b (wasm://wasm/pw.wasm-00:x)", &["<pw::A>::b"]);
        check("at x.wasm.pw::f::<[u8; 4]> (wasm://wasm/1)", &["pw::f::<[u8; 4]>"]);
    }

    #[test]
    fn what_stands_above_the_panic_and_glue_is_left_out() {
        let stack = "    at index.js:781:21\n    at wrapError (index.js:1274:14)\n\
            at pw.wasm.worker[1b67ae93d566e323]::init::init::{closure#0} (wasm://wasm/pw.wasm-0:wasm-function[1]:0x1)\n\
            at pw.wasm.__rustc[b1da763420d39311]::rust_begin_unwind (wasm://wasm/pw.wasm-0:wasm-function[1]:0x1)\n\
            at pw.wasm.core[6cb43abbd3f49e2c]::option::unwrap_failed (wasm://wasm/pw.wasm-0:wasm-function[1]:0x1)\n\
            at pw.wasm.<core[af8fa5779322f795]::panic::unwind_safe::AssertUnwindSafe<pw[2b610ee0e99907cd]::fetch::{closure#0}> as core[af8fa5779322f795]::future::future::Future>::poll (wasm://wasm/a)\n\
            at pw.wasm.js_sys[f7e7ddf9e9bd0eff]::futures::future_to_promise::<X>::{closure#0} (wasm://wasm/a)\n\
            at pw.wasm.pw[2b610ee0e99907cd]::g externref shim (wasm://wasm/a)\n    … (14 more frames)";
        check(stack, &["core::option::unwrap_failed", "pw::fetch::{closure#0}"]);
        assert!(read(stack).is_panic);
    }

    #[test]
    fn a_recursion_is_one_frame_and_numbers_are_none() {
        let line = "    at pw.wasm.pw[2b610ee0e99907cd]::r (wasm://wasm/pw.wasm-0:wasm-function[410]:0x286f2)\n";
        check(&line.repeat(100), &["pw::r"]);
        check("    at wasm://wasm/001f092a:wasm-function[410]:0x286f2", &[]);
    }

    #[test]
    fn hostile_stacks_are_bounded() {
        let long = format!("at a.wasm.{} (wasm://wasm/1)\n", "x[".repeat(50_000));
        assert_eq!(read(&long).frames[0].len(), FRAME_BYTES_MAX);
        let nested = format!("at a.wasm.{WRAPPER}{} (wasm://wasm/1)", "<".repeat(50_000));
        assert_eq!(read(&nested).frames.len(), 1);
        let many: Vec<String> = (0..1_000).map(|n| format!("at a.wasm.f{n} (wasm://wasm/1)")).collect();
        assert_eq!(read(&many.join("\n")).frames.len(), FRAMES_MAX);
        check("at (wasm://\nat  (wasm://)\nat .wasm. (wasm://", &[""]);
    }
}
