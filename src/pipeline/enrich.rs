//! Outside facts: network and token scope. (interface; the body follows)

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// No address in the event.
    #[default]
    Absent,
    /// A global unicast address.
    Public,
    /// Private (RFC 1918, RFC 4193), loopback, link-local, carrier-grade shared space (RFC 6598), documentation, …
    Special,
}

/// Facts about an address. Absent facts are `None`, never guessed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Its organisation.
    pub organisation: Option<std::sync::Arc<str>>,
    /// ISO 3166 two letters, upper case.
    pub country: Option<[u8; 2]>,
}

/// Facts from outside the record: real tables, or a fixed map in tests.
pub trait Lookup: Send + Sync {
    /// What the tables say about an address. Must not block; called once per public address (memoised).
    fn network(&self, address: IpAddr) -> Network;
}

/// How far a token reaches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScopeTier {
    /// No token, or a token without scopes.
    #[default]
    None,
    /// Scopes that the table does not know.
    Unknown,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Administers.
    Admin,
}
