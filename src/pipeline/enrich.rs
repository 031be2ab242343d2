//! Outside facts: which network a request came from, how far its token reaches.
//!
//! Reads an address through [`Lookup`] and scopes through a [`ScopeModel`] (`models/scopes.toml`); gives a [`Source`]
//! and a [`TokenUse`]. Never looks up an address that no table can know, never keeps a token or the producer's hash of
//! it (only a keyed hash of that hash), never guesses: an absent fact stays absent.
//!
//! Limits: [`SCOPES_MAX`] scopes and [`SCOPE_BYTES_MAX`] bytes of them a token. Cost: a known address or scope set is
//! one lookup in a memo; a new address two short keyed hashes and a table lookup, a new scope set some microseconds.

mod scopes;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::scopes::ScopeModel;
use super::by_value;
use super::event::{Client, TokenFacts};
use super::keys::Keys;
use super::memo::Memo;
use super::neutral;
use super::observation::{Source, TokenUse};

/// Most scopes of a token that count; real tokens have up to some twenty.
pub const SCOPES_MAX: usize = 64;

/// Most bytes of a token's scopes together.
pub const SCOPE_BYTES_MAX: usize = 512;

/// Most bytes of one scope's name; the longest of Entra and Google have some 80.
const SCOPE_NAME_BYTES_MAX: usize = 120;

/// From here Cloudflare Workers fetch across zones: it says nothing about who asked.
const WORKER_SUBREQUEST: Ipv6Addr = Ipv6Addr::new(0x2a06, 0x98c0, 0x3600, 0, 0, 0, 0, 0x103);

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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Its organisation.
    #[serde(with = "by_value::text_if_any")]
    pub organisation: Option<Arc<str>>,
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

/// A token's scopes as they are kept: how far they reach, and their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The highest tier among them.
    pub tier: ScopeTier,
    /// Sorted, without repeats, neutralised, joined by one space, or by `; ` where a name has a space in it.
    pub names: Arc<str>,
}

/// What is known about the source at `ip`: ids, kind, network. Special addresses are never looked up.
pub fn source(keys: &Keys, memo: &mut Memo<IpAddr, Source>, lookup: &dyn Lookup, ip: Option<IpAddr>) -> Source {
    let Some(address) = ip.map(|ip| ip.to_canonical()) else { return Source::default() };
    if let Some(known) = memo.get(&address) {
        return known;
    }
    let kind = if is_special(address) { AddressKind::Special } else { AddressKind::Public };
    let network = if kind == AddressKind::Public { lookup.network(address) } else { Network::default() };
    let source = Source {
        address: Some(address),
        address_id: Some(keys.name(&octets(address))),
        prefix_id: Some(keys.name(&prefix(address))),
        kind,
        network,
    };
    memo.put(address, source)
}

/// The same with what the carrier says of the network (see [`Client`]) where our tables say nothing: no table, an
/// address that they do not have, or no address at all. Of a Worker's own address nothing is taken: its network is
/// Cloudflare's, whoever asked.
///
/// What a carrier says belongs to its event alone, so that it is put in after the memo of addresses.
#[must_use]
pub fn hinted(mut source: Source, client: &Client<'_>) -> Source {
    if source.address != Some(IpAddr::V6(WORKER_SUBREQUEST)) {
        source.network.asn = source.network.asn.or(client.asn);
        source.network.country = source.network.country.or(client.country);
    }
    source
}

/// What is known about a token: keyed id, and its scopes by `scopes`. The memo is keyed by the scope texts and belongs
/// to one model.
pub fn token(keys: &Keys, scopes: &ScopeModel, memo: &mut Memo<Box<str>, Scopes>, facts: &TokenFacts<'_>) -> TokenUse {
    let names: Vec<&str> = facts.scopes.iter().map(AsRef::as_ref).take(SCOPES_MAX).collect();
    let set = match names.as_slice() {
        [] => Scopes { tier: ScopeTier::None, names: Arc::from("") },
        // One scope is the ordinary case and needs no joining.
        [only] => remembered(scopes, memo, only, &names),
        _ => remembered(scopes, memo, &names.join("\u{1f}"), &names),
    };
    TokenUse {
        id: facts.id_hash.as_ref().map(|hash| keys.token(hash.as_bytes())),
        valid: facts.valid,
        tier: set.tier,
        scopes: set.names,
    }
}

/// Sets longer than what is kept are not remembered: only somebody who plays with tokens has them.
fn remembered(scopes: &ScopeModel, memo: &mut Memo<Box<str>, Scopes>, key: &str, names: &[&str]) -> Scopes {
    if key.len() > SCOPE_BYTES_MAX {
        return scope_set(scopes, names);
    }
    match memo.get(key) {
        Some(known) => known,
        None => memo.put(key.into(), scope_set(scopes, names)),
    }
}

fn scope_set(scopes: &ScopeModel, names: &[&str]) -> Scopes {
    let mut sorted: Vec<&str> = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let tier = sorted.iter().map(|name| scopes.tier(name)).max().unwrap_or_default();
    // Permissions of Cloudflare have spaces in their names; two of them must not look like four.
    let separator = if sorted.iter().any(|name| name.contains(' ')) { "; " } else { " " };
    let mut joined = String::new();
    for name in sorted {
        let name = neutral::line(name, SCOPE_NAME_BYTES_MAX);
        if joined.len() + name.len() + separator.len() > SCOPE_BYTES_MAX {
            break;
        }
        if !joined.is_empty() {
            joined.push_str(separator);
        }
        joined.push_str(&name);
    }
    Scopes { tier, names: joined.into() }
}

/// Whether no table can say who is behind an address: not global unicast by the IANA special-purpose registries, or
/// shared by everybody's Workers.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => is_special_v6(v6),
    }
}

fn is_special_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        // Carrier-grade shared space, RFC 6598: 100.64.0.0/10.
        || (a == 100 && (64..128).contains(&b))
        // Benchmarking, RFC 2544: 198.18.0.0/15.
        || (a == 198 && (b == 18 || b == 19))
        // Protocol assignments, RFC 6890: 192.0.0.0/24; 6to4 relays, RFC 7526: 192.88.99.0/24.
        || (a == 192 && ((b == 0 && c == 0) || (b == 88 && c == 99)))
        // Reserved, RFC 1112, and broadcast.
        || a >= 240
}

fn is_special_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // Global unicast is 2000::/3; loopback, unspecified, unique local, link-local, multicast and the rest lie outside.
    a & 0xe000 != 0x2000
        // Documentation, RFC 3849 and RFC 9637.
        || (a == 0x2001 && b == 0x0db8)
        || (a == 0x3fff && b < 0x1000)
        // Protocol assignments with Teredo and benchmarking, RFC 2928: 2001::/23; 6to4, RFC 3056: 2002::/16.
        || (a == 0x2001 && b < 0x0200)
        || a == 0x2002
        || v6 == WORKER_SUBREQUEST
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The network address of the /24 or /48, with its length in front so that it is no host's name.
fn prefix(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            vec![24, a, b, c]
        }
        IpAddr::V6(v6) => std::iter::once(48).chain(v6.octets().into_iter().take(6)).collect(),
    }
}

#[cfg(test)]
mod tests;
