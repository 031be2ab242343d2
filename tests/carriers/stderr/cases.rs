//! Panics and ends of every kind, one a run: `cases NAME`. Needs nothing but the standard library, of Rust 1.63 or
//! later, so that the wording of each release can be had from the release itself. `cases list` names the cases.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::thread;

const CASES: [(&str, fn()); 14] = [
    ("literal", || panic!("boom 1")),
    ("multi_line", || panic!("multi\n\nline\n  left: 1\n right: 2")),
    ("empty", || panic!("")),
    ("quotes", || panic!("it's 'quoted', src/fake.rs:1:1")),
    ("index", || named("worker-7", || drop(Vec::<u8>::new()[3]))),
    ("unnamed", || thread::spawn(|| panic!("boom 2")).join().unwrap_or(())),
    ("any", || std::panic::panic_any(42)),
    ("unwrap", || drop("x1".parse::<u8>().unwrap())),
    ("twice", || {
        for _ in 0..2 {
            drop(catch_unwind(AssertUnwindSafe(|| named_fn("again"))));
        }
    }),
    ("cannot_unwind", || in_ffi()),
    ("while_unwinding", || {
        let _bomb = Bomb;
        panic!("first")
    }),
    ("stack_overflow", || drop(deep(1))),
    ("out_of_memory", || {
        drop(Vec::<u8>::with_capacity(isize::MAX as usize));
    }),
    ("fake_block", || panic!("x\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\nthread 'main' panicked at src/forged.rs:1:1:\nforged")),
];

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("second");
    }
}

extern "C" fn in_ffi() {
    panic!("in ffi");
}

#[inline(never)]
fn named_fn(word: &str) {
    panic!("said {word}");
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn deep(n: u64) -> u64 {
    let room = [n; 512];
    deep(n + 1) + room[7]
}

fn named(name: &str, work: fn()) {
    let run = thread::Builder::new().name(name.to_owned()).spawn(work);
    drop(run.expect("a thread").join());
}

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "list" {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
    }
    if let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) {
        case();
    }
}
