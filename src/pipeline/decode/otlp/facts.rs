//! The attributes that are read, by their new and their old names.
//!
//! Gives [`Facts`]: the first value of each name that is known, and those of panicsift's convention. Cost: one comparison
//! of texts an attribute.

use std::borrow::Cow;

use super::super::convention::PREFIX;
use super::super::loose::Value;

/// Most attributes of panicsift's own that are kept.
const OWN_MAX: usize = 32;

/// What an attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    ExceptionType,
    ExceptionMessage,
    ExceptionStack,
    ExceptionEscaped,
    PanicPayload,
    PanicLocation,
    PanicBacktrace,
    BodyMessage,
    CodeFile,
    CodeLine,
    CodeColumn,
    CodeFunction,
    ThreadName,
    Method,
    Path,
    Url,
    Query,
    Route,
    Status,
    ClientAddress,
    PeerAddress,
    UserAgent,
    UserAgentHeader,
    ContentType,
    ContentLengthHeader,
    Idempotency,
    RayHeader,
    RequestIdHeader,
    BodyContent,
    BodySize,
    ResendCount,
    ServiceName,
    ServiceVersion,
    ScriptVersion,
    ScriptName,
    InstanceId,
    HostName,
    Region,
    Colo,
    CloudflareOutcome,
    RayId,
    Asn,
    Country,
    Scope,
    Language,
}

impl Key {
    /// What the attribute of that name says; dashes of header names may be underscores.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "exception.type" => Self::ExceptionType,
            "exception.message" => Self::ExceptionMessage,
            "exception.stacktrace" => Self::ExceptionStack,
            "exception.escaped" => Self::ExceptionEscaped,
            "panic.payload" => Self::PanicPayload,
            "panic.location" => Self::PanicLocation,
            "panic.backtrace" => Self::PanicBacktrace,
            "message" => Self::BodyMessage,
            "code.file.path" | "code.filepath" => Self::CodeFile,
            "code.line.number" | "code.lineno" => Self::CodeLine,
            "code.column.number" | "code.column" => Self::CodeColumn,
            "code.function.name" | "code.function" => Self::CodeFunction,
            "thread.name" => Self::ThreadName,
            "http.request.method" | "http.method" => Self::Method,
            "url.path" => Self::Path,
            "url.full" | "http.url" | "http.target" => Self::Url,
            "url.query" => Self::Query,
            "http.route" => Self::Route,
            "http.response.status_code" | "http.status_code" => Self::Status,
            "client.address" | "http.client_ip" => Self::ClientAddress,
            "net.peer.ip" | "net.sock.peer.addr" => Self::PeerAddress,
            "user_agent.original" | "http.user_agent" => Self::UserAgent,
            "http.request.body.content" => Self::BodyContent,
            "http.request.body.size" | "http.request_content_length" => Self::BodySize,
            "http.request.resend_count" | "http.resend_count" => Self::ResendCount,
            "service.name" => Self::ServiceName,
            "service.version" => Self::ServiceVersion,
            "service.instance.id" | "faas.instance" => Self::InstanceId,
            "host.name" => Self::HostName,
            "cloud.region" => Self::Region,
            "cloudflare.colo" => Self::Colo,
            "cloudflare.script_version.id" => Self::ScriptVersion,
            "cloudflare.script_name" => Self::ScriptName,
            "cloudflare.outcome" => Self::CloudflareOutcome,
            "cloudflare.ray_id" => Self::RayId,
            "cloudflare.asn" => Self::Asn,
            "geo.country.code" => Self::Country,
            "enduser.scope" => Self::Scope,
            "telemetry.sdk.language" => Self::Language,
            _ => return Self::of_header(name.strip_prefix("http.request.header.")?),
        })
    }

    fn of_header(name: &str) -> Option<Self> {
        Some(match name {
            "content-type" | "content_type" => Self::ContentType,
            "content-length" | "content_length" => Self::ContentLengthHeader,
            "idempotency-key" | "idempotency_key" | "x-idempotency-key" | "x_idempotency_key" => Self::Idempotency,
            "user-agent" | "user_agent" => Self::UserAgentHeader,
            "cf-ray" | "cf_ray" => Self::RayHeader,
            "x-request-id" | "x_request_id" => Self::RequestIdHeader,
            _ => return None,
        })
    }
}

/// Attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts<'a> {
    known: Vec<(Key, Value<'a>)>,
    /// Those of panicsift's convention, without their prefix.
    pub(super) own: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Facts<'a> {
    /// Adds an attribute, unless nobody needs it or it is known.
    pub(super) fn add(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        if value == Value::Nothing {
            return;
        }
        if let Some(key) = Key::of(&name) {
            if self.get(key).is_none() {
                self.known.push((key, value));
            }
        } else if name.starts_with(PREFIX) && self.own.len() < OWN_MAX {
            let name = match name {
                Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix(PREFIX).unwrap_or(name)),
                Cow::Owned(name) => Cow::Owned(name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()),
            };
            self.own.push((name, value));
        }
    }

    /// Adds what another has and this one has not.
    pub(super) fn merge(&mut self, other: Facts<'a>) {
        for (key, value) in other.known {
            if self.get(key).is_none() {
                self.known.push((key, value));
            }
        }
        self.own.extend(other.own);
        self.own.truncate(OWN_MAX);
    }

    /// The value of a name.
    pub(super) fn get(&self, key: Key) -> Option<&Value<'a>> {
        self.known.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Whether there is nothing in it that a panic could be told from.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.own.is_empty()
    }
}
