//! What only the application knows of a request: which token came with it, what it has changed already.
//!
//! The facts of a request travel with the task that serves it. Whoever learns one notes it at once, because a panic
//! leaves no time for it later.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::hook;
use crate::layer::Seen;

/// Kinds of side effects kept: as many as panicsift reads.
const SIDE_EFFECTS_MAX: usize = 64;

/// Hexadecimal digits of a token's name: 64 bits tell the tokens of any service apart.
const HASH_DIGITS: usize = 16;

tokio::task_local! {
    /// The facts of the request that this task serves.
    static CURRENT: Facts;
}

/// Notes on the request that is served; cheap to clone, shared with all its clones.
#[derive(Debug, Clone)]
pub struct Facts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    noted: Mutex<Noted>,
    seen: Seen,
}

/// What was noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    pub(crate) token: Option<Token>,
    pub(crate) attempt: Option<u32>,
    pub(crate) tenant: Option<String>,
    pub(crate) side_effects: Vec<(String, u64)>,
}

/// A token, as far as anyone else may know it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id_hash: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) is_valid: bool,
}

impl Facts {
    pub(crate) fn of(seen: Seen) -> Self {
        Self(Arc::new(Shared { noted: Mutex::default(), seen }))
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.0.seen
    }

    pub(crate) fn noted(&self) -> Noted {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `work` as part of this request.
    pub(crate) fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The facts of the request that this task serves; `None` outside of the layer and in tasks of their own.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The token that came with the request: its [name](TokenKey::name), its scopes, and whether it was accepted.
    pub fn token(&self, id_hash: String, scopes: Vec<String>, is_valid: bool) {
        self.note(|noted| noted.token = Some(Token { id_hash, scopes, is_valid }));
    }

    /// Which attempt this is, from 1, where the client says so.
    pub fn attempt(&self, attempt: u32) {
        self.note(|noted| noted.attempt = Some(attempt));
    }

    /// Whose data the request is about, where one deployment serves several.
    pub fn tenant(&self, tenant: &str) {
        self.note(|noted| noted.tenant = Some(tenant.to_owned()));
    }

    /// Something that will outlive a panic has been done: `db_write`, `kv_put`, `mail`, …
    pub fn side_effect(&self, kind: &str) {
        self.note(|Noted { side_effects, .. }| {
            if let Some((_, n)) = side_effects.iter_mut().find(|(known, _)| known == kind) {
                *n = n.saturating_add(1);
            } else if side_effects.len() < SIDE_EFFECTS_MAX {
                side_effects.push((kind.to_owned(), 1));
            }
        });
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.0.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// For a task of the request's own: a panic in `work` is told with the facts of the request, and goes on, so that
    /// the `JoinError` is what it always is. `tokio::spawn(facts.watch(work))`.
    pub async fn watch<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let poll = || self.scope(|| work.as_mut().poll(context));
            match hook::catch(self.seen().frames_max(), poll) {
                Ok(poll) => poll,
                Err((report, payload)) => {
                    self.seen().tell_child(&report, &self);
                    std::panic::resume_unwind(payload)
                }
            }
        })
        .await
    }
}

/// The key under which tokens are named. Nobody without it can tell which token a name stands for, nor try guesses.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// From a secret of your own, at best 32 random bytes; the same for all instances of a service, another one for
    /// each environment. A new secret gives all tokens new names.
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("panic-events 2026 name of a token", secret))
    }

    /// The name of a token: of its issuer and its id (`jti`, `uti`) where it has them, else of the token itself.
    pub fn name(&self, issuer: &str, id: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The length keeps `("a", "bc")` and `("ab", "c")` apart.
        hasher.update(&u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(issuer.as_bytes()).update(id.as_bytes());
        hasher.finalize().to_hex().chars().take(HASH_DIGITS).collect()
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TokenKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tokens_depend_on_key_issuer_and_id() {
        let (one, other) = (TokenKey::new(b"one"), TokenKey::new(b"other"));
        let name = one.name("https://issuer.example", "jti-1");
        assert_eq!((name.len(), &name), (16, &TokenKey::new(b"one").name("https://issuer.example", "jti-1")));
        for different in [
            other.name("https://issuer.example", "jti-1"),
            one.name("https://issuer.example", "jti-2"),
            one.name("https://issuer.examplej", "ti-1"),
        ] {
            assert_ne!(name, different);
        }
        assert_eq!(format!("{one:?}"), "TokenKey");
    }
}
