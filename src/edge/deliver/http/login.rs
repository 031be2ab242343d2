//! Who we are for an HTTP destination: the `Authorization` header, made anew from its file for each request.
//!
//! A secret in a file is read again before every attempt (some microseconds), so that one that was changed is in force
//! with the next request, also for a lane that is on hold for want of it. A file that is gone or empty leaves the last
//! secret in force: it is being replaced. Secrets are never logged; that one was replaced is.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::{Credential, Secret};

/// A file with more than this is no secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What the destination is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    #[default]
    None,
    /// `SCHEME SECRET`.
    Token {
        /// `Splunk`, `ApiKey`, `Bearer`.
        scheme: &'static str,
        /// What stands after it.
        secret: Credential,
    },
    /// User and password.
    Basic {
        /// Name of the user.
        user: String,
        /// The password.
        password: Credential,
    },
}

impl Login {
    /// The header's value.
    pub(super) fn header(&self) -> Option<Secret> {
        match self {
            Self::None => None,
            Self::Token { scheme, secret } => Some(Secret::new(format!("{scheme} {}", secret.secret().expose()))),
            Self::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.secret().expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
        }
    }

    /// Reads the secret's file again, if it has one. Returns whether the secret changed. Blocks for a small file.
    pub(super) fn reread(&mut self) -> bool {
        let credential = match self {
            Self::None => return false,
            Self::Token { secret, .. } => secret,
            Self::Basic { password, .. } => password,
        };
        let Some(Ok(file)) = credential.file().map(std::fs::File::open) else { return false };
        let mut text = String::new();
        let read = file.take(SECRET_BYTES_MAX.saturating_add(1)).read_to_string(&mut text);
        let fits = read.is_ok_and(|n| u64::try_from(n).is_ok_and(|n| n <= SECRET_BYTES_MAX));
        fits && credential.renew(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(login: &Login, expected: Option<&str>) {
        assert_eq!(login.header().as_ref().map(Secret::expose), expected);
        assert!(!format!("{login:?}").contains("hunter2"));
    }

    #[test]
    fn a_login_becomes_a_header() {
        let hunter2 = || Credential::fixed("hunter2");
        check(&Login::None, None);
        check(&Login::Token { scheme: "Splunk", secret: hunter2() }, Some("Splunk hunter2"));
        check(&Login::Basic { user: "u".to_owned(), password: hunter2() }, Some("Basic dTpodW50ZXIy"));
    }

    #[test]
    fn a_secret_that_was_changed_in_its_file_is_taken_and_a_file_that_is_gone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut login = Login::Token { scheme: "Splunk", secret: Credential::in_file("old", &path) };
        assert!(!login.reread());
        std::fs::write(&path, "").unwrap();
        assert!(!login.reread());
        std::fs::write(&path, "new\n").unwrap();
        assert!(login.reread() && !login.reread());
        check(&login, Some("Splunk new"));
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(!login.reread());
        std::fs::remove_file(&path).unwrap();
        assert!(!login.reread());
        check(&login, Some("Splunk new"));
    }
}
