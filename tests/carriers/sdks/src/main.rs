//! Writes what the published SDKs of OpenTelemetry and Sentry send of real panics, as test data.
//!
//! Usage: `panicsift-sdk-captures FOLDER`. Every file holds the very bytes that the exporter (or transport) hands to its
//! HTTP client; nothing is edited afterwards. See README.md.

mod otlp;
mod sentry_sdk;

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder to write to"));
    otlp::capture(&folder.join("otlp"));
    sentry_sdk::capture(&folder.join("sentry"));
}

/// The faults that the requests below run into, each a kind of its own.
mod faults {
    /// An index from the client.
    pub fn index(items: &[u8], at: usize) -> u8 {
        items[at]
    }

    /// A number from the client.
    pub fn parse(text: &str) -> u8 {
        text.parse().unwrap()
    }
}
