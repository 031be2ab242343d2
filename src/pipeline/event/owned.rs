//! Events that outlive their batch.
//!
//! An event that waits for what belongs to it (see [`super::super::gather`]) keeps its texts for itself; every other one
//! borrows from its record. Each text is copied once, and only here.

use std::borrow::Cow;

use super::{Client, PanicEvent, PanicFacts, Payload, Request, Retry, TokenFacts};

/// A text of its own.
pub(in crate::pipeline) fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn owned_opt(text: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
    text.map(owned)
}

fn owned_all(texts: Vec<Cow<'_, str>>) -> Vec<Cow<'static, str>> {
    texts.into_iter().map(owned).collect()
}

impl PanicEvent<'_> {
    /// The same event with texts of its own.
    pub fn into_owned(self) -> PanicEvent<'static> {
        PanicEvent {
            event_id: owned(self.event_id),
            service: owned(self.service),
            tenant: owned(self.tenant),
            release: owned_opt(self.release),
            host: owned_opt(self.host),
            region: owned_opt(self.region),
            endpoint: owned_opt(self.endpoint),
            method: owned_opt(self.method),
            path: owned_opt(self.path),
            query: self.query.into_iter().map(|(name, value)| (owned(name), owned(value))).collect(),
            panic: PanicFacts {
                message: owned(self.panic.message),
                file: owned_opt(self.panic.file),
                thread: owned_opt(self.panic.thread),
                backtrace: owned_all(self.panic.backtrace),
                ..self.panic
            },
            client: Client { user_agent: owned_opt(self.client.user_agent), ..self.client },
            token: self.token.map(|token| TokenFacts {
                id_hash: owned_opt(token.id_hash),
                scopes: owned_all(token.scopes),
                ..token
            }),
            request: Request {
                id: owned_opt(self.request.id),
                content_type: owned_opt(self.request.content_type),
                payload: match self.request.payload {
                    Payload::Absent => Payload::Absent,
                    Payload::Text(text) => Payload::Text(owned(text)),
                    Payload::Bytes(bytes) => Payload::Bytes(bytes),
                },
                idempotency_key: owned_opt(self.request.idempotency_key),
                shape: owned_opt(self.request.shape),
                ..self.request
            },
            isolate: owned_opt(self.isolate),
            retry: self.retry.map(|retry| Retry { outcome: owned(retry.outcome), ..retry }),
            boundary: owned_opt(self.boundary),
            side_effects: self
                .side_effects
                .map(|effects| effects.into_iter().map(|(kind, count)| (owned(kind), count)).collect()),
            trace_id: owned_opt(self.trace_id),
            ..self
        }
    }
}
