//! An alert as a syslog message, RFC 5424.
//!
//! `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [SD] MSG` (§6). Facility 10, security (§6.2.1), 3, daemon, for alerts
//! on operations; HOSTNAME and PROCID
//! are nil: an alert is of no host. One structured data element `panicsift@NUMBER` (§6.3.2, name at most 32 characters)
//! with the alert's ids, counts and first names; in its values `"`, `\` and `]` are escaped (§6.3.3). The message is the
//! alert's title in UTF-8 behind the byte order mark that §6.4 demands. Every message stays below the 2,048 octets that
//! a receiver SHOULD take (§6.1); lists are cut for it, the whole alert is in the other formats.

use super::text::{self, ID_BYTES_MAX, put, put_escaped};
use super::{PRODUCT, addresses, is_security};
use crate::pipeline::alert::{Alert, Counted, Severity};
use crate::pipeline::event::Millis;

/// Security/authorization messages.
const FACILITY_SECURITY: u8 = 10;

/// System daemons: what is not the SOC's.
const FACILITY_OPERATIONS: u8 = 3;

/// Octets of RFC 5424's timestamp as we write it; one of a year beyond 9999 has more, and is none.
const TIMESTAMP_LEN: usize = "2026-09-14T08:00:00.849Z".len();

/// Bytes of the message, before the mark.
const MESSAGE_BYTES_MAX: usize = 400;

/// Bytes of a name in the structured data, before escaping.
const NAME_BYTES_MAX: usize = 100;

/// Bytes of tenant and model, before escaping.
const TAG_BYTES_MAX: usize = 60;

/// Appends the message.
pub(super) fn write(alert: &Alert, enterprise_number: u32, out: &mut Vec<u8>) {
    let portrait = &alert.portrait;
    let facility = if is_security(alert) { FACILITY_SECURITY } else { FACILITY_OPERATIONS };
    let priority = facility * 8 + severity(portrait.severity);
    let time = timestamp(&alert.at).unwrap_or_else(|| "-".to_owned());
    let mut line = format!("<{priority}>1 {time} - {PRODUCT} - {} [{PRODUCT}@{enterprise_number}", alert.change.name());
    let first = |counted: &[Counted]| counted.first().map(|one| one.name.clone()).unwrap_or_default();
    let of_judge = |text: String| if is_security(alert) { text } else { String::new() };
    let texts = [
        ("alertId", ID_BYTES_MAX, alert.alert_id.clone()),
        ("cluster", ID_BYTES_MAX, alert.cluster.clone()),
        ("severity", ID_BYTES_MAX, portrait.severity.name().to_owned()),
        ("category", ID_BYTES_MAX, alert.category.name().to_owned()),
        ("verdict", ID_BYTES_MAX, of_judge(portrait.verdict.name().to_owned())),
        ("points", ID_BYTES_MAX, of_judge(text::points(portrait.points).unwrap_or_default())),
        ("technique", ID_BYTES_MAX, portrait.technique.as_ref().map(|one| one.id.clone()).unwrap_or_default()),
        ("firstEvent", ID_BYTES_MAX, timestamp(&portrait.first_event).unwrap_or_default()),
        ("lastEvent", ID_BYTES_MAX, timestamp(&portrait.last_event).unwrap_or_default()),
        ("src", ID_BYTES_MAX, addresses(alert).next().map(|address| address.to_string()).unwrap_or_default()),
        ("service", NAME_BYTES_MAX, first(&portrait.services)),
        ("route", NAME_BYTES_MAX, first(&portrait.routes)),
        ("site", NAME_BYTES_MAX, first(&portrait.sites)),
        ("tenant", TAG_BYTES_MAX, portrait.tenant.clone()),
        ("model", TAG_BYTES_MAX, portrait.model.clone()),
    ];
    for (name, bytes_max, text) in texts {
        if !text.is_empty() {
            put(&mut line, format_args!(" {name}=\""));
            put_escaped(&mut line, &text, bytes_max, &['"', '\\', ']']);
            line.push('"');
        }
    }
    let counts = [
        ("ordinal", alert.ordinal.into()),
        ("events", portrait.counts.events),
        ("actors", portrait.counts.actors),
        ("addresses", portrait.counts.addresses),
    ];
    for (name, count) in counts {
        put(&mut line, format_args!(" {name}=\"{count}\""));
    }
    line.push_str("] \u{feff}");
    put_escaped(&mut line, &portrait.title, MESSAGE_BYTES_MAX, &[]);
    out.extend_from_slice(line.as_bytes());
}

/// Notice, warning, error, critical (§6.2.1).
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    }
}

/// A time as the RFC writes it; `None` where the alert holds none.
fn timestamp(time: &str) -> Option<String> {
    Millis::parse(time).map(|time| time.to_string()).filter(|text| text.len() == TIMESTAMP_LEN)
}
