//! An alert as a line of ArcSight's Common Event Format, CEF version 0.
//!
//! Keys, value types and lengths are those of "Implementing ArcSight Common Event Format (CEF)", version 23 of 2016-05-16,
//! chapters "Header Field Definitions", "Extension Dictionary" and "Character Encoding": in the header `|` and `\` are
//! escaped, in the extension `=` and `\`. Line breaks never get that far. Our own values stand in the custom strings and
//! numbers, each with its label; an operations alert has its findings in `cs4`, and no points. The first IPv4 address is `src`, the first IPv6 address `c6a2` (CEF 0 has no other place
//! for it); all of them are in `cs2`. Technique and next step are in the two flex strings.

use std::net::IpAddr;

use super::text::{self, ID_BYTES_MAX, put, put_escaped};
use super::{Called, PRODUCT, VERSION, addresses, event_id, event_name, is_security};
use crate::pipeline::alert::{Alert, Severity};

/// Bytes of `msg` and `reason`; the dictionary allows 1,023 characters.
const TEXT_BYTES_MAX: usize = 1_000;

/// Bytes of a list; the dictionary allows 1,023 or 4,000 characters, a line is to stay readable.
const LIST_BYTES_MAX: usize = 500;

/// Bytes of a header field; product version has the smallest room, 31 characters.
const HEADER_BYTES_MAX: usize = 31;

/// Appends the line.
pub(super) fn write(alert: &Alert, out: &mut Vec<u8>) {
    let mut line = String::from("CEF:0");
    for field in [PRODUCT, PRODUCT, VERSION, event_id(alert), event_name(alert)] {
        line.push('|');
        put_escaped(&mut line, field, HEADER_BYTES_MAX, &['|', '\\']);
    }
    put(&mut line, format_args!("|{}|", severity(alert.portrait.severity)));
    let mut extension = Extension { line: &mut line, is_first: true };
    extension.identity(alert);
    extension.sources(alert);
    extension.custom(alert);
    out.extend_from_slice(line.as_bytes());
}

/// CEF's scale: 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 3,
        Severity::Medium => 6,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

struct Extension<'a> {
    line: &'a mut String,
    is_first: bool,
}

impl Extension<'_> {
    fn identity(&mut self, alert: &Alert) {
        let portrait = &alert.portrait;
        self.text("externalId", &alert.alert_id, ID_BYTES_MAX);
        self.time("rt", &alert.at);
        self.time("start", &portrait.first_event);
        self.time("end", &portrait.last_event);
        self.text("cat", Called::of(alert).category, TEXT_BYTES_MAX);
        self.text("act", alert.change.name(), TEXT_BYTES_MAX);
        self.text("msg", &portrait.title, TEXT_BYTES_MAX);
        self.text("reason", &text::reason(alert), TEXT_BYTES_MAX);
        // An Integer in CEF, 32 bits with a sign.
        let n_events = i32::try_from(portrait.counts.events).unwrap_or(i32::MAX);
        self.value("cnt", format_args!("{n_events}"));
    }

    fn sources(&mut self, alert: &Alert) {
        let portrait = &alert.portrait;
        if let Some(IpAddr::V4(address)) = addresses(alert).find(IpAddr::is_ipv4) {
            self.value("src", format_args!("{address}"));
        }
        if let Some(IpAddr::V6(address)) = addresses(alert).find(IpAddr::is_ipv6) {
            self.value("c6a2", format_args!("{address}"));
            self.text("c6a2Label", "Source IPv6 Address", TEXT_BYTES_MAX);
        }
        self.text("destinationServiceName", &text::names(&portrait.services), LIST_BYTES_MAX);
        self.text("requestClientApplication", &text::names(&portrait.agents), LIST_BYTES_MAX);
    }

    fn custom(&mut self, alert: &Alert) {
        let portrait = &alert.portrait;
        self.labelled("cs1", "cluster", &alert.cluster);
        self.labelled("cs2", "source addresses", &text::addresses(alert));
        self.labelled("cs3", "routes", &text::names(&portrait.routes));
        if is_security(alert) {
            self.labelled("cs4", "panic sites", &text::names(&portrait.sites));
        } else {
            self.labelled("cs4", "findings", &text::findings(alert));
        }
        self.labelled("cs5", "networks", &text::networks(&portrait.networks));
        self.labelled("cs6", "tenant", &portrait.tenant);
        self.labelled_number("cn1", "ordinal of the change", alert.ordinal.into());
        self.labelled_number("cn2", "actors", portrait.counts.actors);
        self.labelled_number("cn3", "payload shapes", portrait.counts.shapes);
        if let Some(points) = text::points(portrait.points).filter(|_| is_security(alert)) {
            self.value("cfp1", format_args!("{points}"));
            self.text("cfp1Label", "points", TEXT_BYTES_MAX);
        }
        self.labelled("flexString1", "technique", &text::technique(alert));
        self.labelled("flexString2", "next step", &portrait.next_step);
        self.text("deviceExternalId", &portrait.model, 255);
    }

    fn labelled(&mut self, key: &str, label: &str, text: &str) {
        if !text.is_empty() {
            self.text(key, text, LIST_BYTES_MAX);
            self.value(&format!("{key}Label"), format_args!("{label}"));
        }
    }

    /// A Long in CEF, 64 bits with a sign.
    fn labelled_number(&mut self, key: &str, label: &str, number: u64) {
        self.value(key, format_args!("{}", i64::try_from(number).unwrap_or(i64::MAX)));
        self.value(&format!("{key}Label"), format_args!("{label}"));
    }

    fn time(&mut self, key: &str, time: &str) {
        if let Some(millis) = text::millis(time) {
            self.value(key, format_args!("{millis}"));
        }
    }

    fn text(&mut self, key: &str, text: &str, bytes_max: usize) {
        if !text.is_empty() {
            self.value(key, format_args!(""));
            put_escaped(self.line, text, bytes_max, &['=', '\\']);
        }
    }

    /// `value` is ours: it holds nothing to escape.
    fn value(&mut self, key: &str, value: std::fmt::Arguments<'_>) {
        if !std::mem::take(&mut self.is_first) {
            self.line.push(' ');
        }
        put(self.line, format_args!("{key}={value}"));
    }
}
