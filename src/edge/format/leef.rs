//! An alert as a line of IBM QRadar's Log Event Extended Format, LEEF 2.0.
//!
//! After IBM's DSM guide: "LEEF event components" (header, delimiter), "Predefined LEEF event attributes" (`cat`,
//! `devTime` as milliseconds since 1970, `sev` 1 to 10, `src`, `resource`) and "Custom event keys" (letters and digits,
//! each key once). LEEF knows no escape and asks to keep its delimiters out of values: `|`, `^` and `=` are written as
//! `\u{7c}`, `\u{5e}` and `\u{3d}`. The delimiter is the guide's own example `^`, since a tab is lost in every copy.

use super::text::{self, ID_BYTES_MAX, put, put_visible};
use super::{Called, PRODUCT, VERSION, addresses, event_id, is_security};
use crate::pipeline::alert::{Alert, Severity};

/// Stands between attributes.
const DELIMITER: char = '^';

/// What a reader would take for grammar.
const SPECIAL: [char; 3] = ['|', DELIMITER, '='];

/// Bytes of a text or list; QRadar shows the whole event in one row.
const TEXT_BYTES_MAX: usize = 500;

/// Bytes of the findings of an operations alert: a dozen with their numbers.
const FINDINGS_BYTES_MAX: usize = 1_500;

/// Bytes of `resource`; the predefined strings have at most 255 characters.
const PREDEFINED_BYTES_MAX: usize = 255;

/// Appends the line.
pub(super) fn write(alert: &Alert, out: &mut Vec<u8>) {
    let portrait = &alert.portrait;
    let mut line = format!("LEEF:2.0|{PRODUCT}|{PRODUCT}|{VERSION}|{}|{DELIMITER}|", event_id(alert));
    put(&mut line, format_args!("cat={}{DELIMITER}sev={}", Called::of(alert).category, severity(portrait.severity)));
    for (key, time) in
        [("devTime", &alert.at), ("firstEvent", &portrait.first_event), ("lastEvent", &portrait.last_event)]
    {
        if let Some(millis) = text::millis(time) {
            put(&mut line, format_args!("{DELIMITER}{key}={millis}"));
        }
    }
    if let Some(address) = addresses(alert).next() {
        put(&mut line, format_args!("{DELIMITER}src={address}"));
    }
    if let Some(points) = text::points(portrait.points).filter(|_| is_security(alert)) {
        put(&mut line, format_args!("{DELIMITER}points={points}"));
    }
    let counts = [
        ("ordinal", alert.ordinal.into()),
        ("events", portrait.counts.events),
        ("actors", portrait.counts.actors),
        ("sourceAddresses", portrait.counts.addresses),
        ("payloadShapes", portrait.counts.shapes),
    ];
    for (key, count) in counts {
        put(&mut line, format_args!("{DELIMITER}{key}={count}"));
    }
    texts(alert, &mut line);
    out.extend_from_slice(line.as_bytes());
}

fn texts(alert: &Alert, line: &mut String) {
    let portrait = &alert.portrait;
    let texts = [
        ("resource", PREDEFINED_BYTES_MAX, text::names(&portrait.services)),
        ("alertId", ID_BYTES_MAX, alert.alert_id.clone()),
        ("cluster", ID_BYTES_MAX, alert.cluster.clone()),
        ("change", ID_BYTES_MAX, alert.change.name().to_owned()),
        ("title", TEXT_BYTES_MAX, portrait.title.clone()),
        ("reason", TEXT_BYTES_MAX, text::reason(alert)),
        ("findings", FINDINGS_BYTES_MAX, text::findings(alert)),
        ("technique", TEXT_BYTES_MAX, text::technique(alert)),
        ("nextStep", TEXT_BYTES_MAX, portrait.next_step.clone()),
        ("addresses", TEXT_BYTES_MAX, text::addresses(alert)),
        ("networks", TEXT_BYTES_MAX, text::networks(&portrait.networks)),
        ("routes", TEXT_BYTES_MAX, text::names(&portrait.routes)),
        ("panicSites", TEXT_BYTES_MAX, text::names(&portrait.sites)),
        ("clients", TEXT_BYTES_MAX, text::names(&portrait.agents)),
        ("tenant", PREDEFINED_BYTES_MAX, portrait.tenant.clone()),
        ("model", PREDEFINED_BYTES_MAX, portrait.model.clone()),
    ];
    for (key, bytes_max, text) in texts {
        if !text.is_empty() {
            put(line, format_args!("{DELIMITER}{key}="));
            put_visible(line, &text, bytes_max, &SPECIAL);
        }
    }
}

/// `sev` goes from 1 to 10.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}
