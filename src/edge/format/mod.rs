//! An alert in the words of whoever reads it: one alert, one line, in each public format that a destination speaks.
//!
//! Takes an alert and a [`Format`], appends one line without its line end. Pure: no clock, no host name, nothing that is
//! not in the alert but this program's name and version and constants of the formats; [`cim`] and [`ecs`] are also what
//! the Splunk and the Elastic destinations send.
//!
//! Alerts hold text that strangers chose. Whatever it is, the line stays one line of printable characters: the JSON
//! forms write everything invisible as `\uXXXX`, which every reader turns back; the text forms make it visible
//! (`\u{…}`), bound it field by field and escape what their own grammar would take for its own.
//!
//! Alerts on which operations act (storms, retry cascades, …) have no senders to name: names of rules and events say what
//! they are, `findings` stand where a cluster has evidence, and no format calls them an attack.
//!
//! Costs one pass over the alert's texts. A CEF line has at most 16 kB, a LEEF line 8 kB, a syslog message 2,048 bytes; the JSON forms are as long
//! as the alert, twice where the alert stands inside. A time or an address that is none, which no alert of ours holds, is
//! left out where the format wants a time or an address.
//!
//! (`mod.rs`, because the fuzz targets compile this folder by its path.)

use std::net::IpAddr;

use crate::pipeline::alert::{Alert, Category, Change};

pub mod cim;
pub mod ecs;
pub mod ocsf;

mod cef;
mod leef;
mod syslog;

pub mod json;
mod text;

/// Name of this program where a format asks for vendor, product or application.
const PRODUCT: &str = "panicsift";

/// Its version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The private enterprise number that RFC 5612 keeps for documentation: for whoever has none.
pub const DOCUMENTATION_ENTERPRISE: u32 = 32_473;

/// A public format, or our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The alert as it is, `alert.v1`.
    #[default]
    Native,
    /// Elastic Common Schema.
    Ecs,
    /// Open Cybersecurity Schema Framework, Detection Finding.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// Log Event Extended Format 2.0.
    Leef,
    /// Syslog, RFC 5424.
    Syslog {
        /// IANA private enterprise number that our structured data stands under.
        enterprise_number: u32,
    },
}

impl Format {
    /// The name in the configuration and in record headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Syslog { .. } => "syslog",
        }
    }

    /// The media type of one line.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Native | Self::Ecs | Self::Ocsf => "application/json",
            Self::Cef | Self::Leef | Self::Syslog { .. } => "text/plain; charset=utf-8",
        }
    }
}

/// An alert that has no such form. Not met with any alert that can be made today.
#[derive(Debug, thiserror::Error)]
#[error("alert {alert_id} cannot be written as {format}: {error}")]
pub struct FormatError {
    /// Id of the alert.
    pub alert_id: String,
    /// Name of the format.
    pub format: &'static str,
    /// Why not.
    pub error: serde_json::Error,
}

/// Appends `alert` to `out` as one line in `format`, without a line end.
///
/// # Errors
/// [`FormatError`]; `out` is then as it was.
pub fn encode(format: Format, alert: &Alert, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let start = out.len();
    let written = match format {
        Format::Native => json::write(alert, out),
        Format::Ecs => json::write(&ecs::Document::of(alert, ""), out),
        Format::Ocsf => json::write(&ocsf::DetectionFinding::of(alert), out),
        Format::Cef => {
            cef::write(alert, out);
            Ok(())
        }
        Format::Leef => {
            leef::write(alert, out);
            Ok(())
        }
        Format::Syslog { enterprise_number } => {
            syslog::write(alert, enterprise_number, out);
            Ok(())
        }
    };
    written.map_err(|error| {
        out.truncate(start);
        FormatError { alert_id: text::shown(&alert.alert_id), format: format.name(), error }
    })
}

/// How alerts of one category are called.
struct Called {
    /// What found it, in the form of a rule's name.
    rule: &'static str,
    /// What it is about.
    category: &'static str,
    /// What happened, in the form of an event's name of at most 31 bytes: opened, raised, closed.
    names: [&'static str; 3],
    /// The same in the form of an id.
    ids: [&'static str; 3],
}

macro_rules! called {
    ($rule:literal, $category:literal, $id:literal) => {
        Called {
            rule: $rule,
            category: $category,
            names: [concat!($rule, " opened"), concat!($rule, " raised"), concat!($rule, " closed")],
            ids: [concat!($id, "-opened"), concat!($id, "-raised"), concat!($id, "-closed")],
        }
    };
}

static HOSTILE_INPUT: Called = called!("hostile panic cluster", "hostile input", "cluster");
static STORM: Called = called!("contained panic storm", "operations: storm", "storm");
static RETRY_CASCADE: Called = called!("panic retry cascade", "operations: retry cascade", "cascade");
static ROLLBACK: Called = called!("rollback criteria", "operations: rollback", "rollback");
static ERROR_BUDGET: Called = called!("panic error budget", "operations: error budget", "budget");

impl Called {
    fn of(alert: &Alert) -> &'static Self {
        match alert.category {
            Category::HostileInput => &HOSTILE_INPUT,
            Category::Storm => &STORM,
            Category::RetryCascade => &RETRY_CASCADE,
            Category::Rollback => &ROLLBACK,
            Category::ErrorBudget => &ERROR_BUDGET,
        }
    }
}

/// Whether the alert is for the SOC; else it is for whoever is on call.
fn is_security(alert: &Alert) -> bool {
    alert.category == Category::HostileInput
}

/// What happened, in the form of an event's name.
fn event_name(alert: &Alert) -> &'static str {
    one_of(alert.change, Called::of(alert).names)
}

/// What happened, in the form of an id.
fn event_id(alert: &Alert) -> &'static str {
    one_of(alert.change, Called::of(alert).ids)
}

fn one_of(change: Change, [opened, raised, closed]: [&'static str; 3]) -> &'static str {
    match change {
        Change::Opened => opened,
        Change::Raised => raised,
        Change::Closed => closed,
    }
}

/// The alert's addresses, without what is none: a receiver's address field would refuse the whole event for it.
fn addresses(alert: &Alert) -> impl Iterator<Item = IpAddr> {
    alert.portrait.addresses.iter().filter_map(|address| address.parse().ok())
}

#[cfg(test)]
mod tests;
