//! Whatever text comes in, what is shown is one bounded, printable line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::neutral;

fuzz_target!(|text: &str| {
    let line = neutral::line(text, 100);
    assert!(line.len() <= 100);
    assert!(!line.chars().any(char::is_control));
});
