//! Texts that must not be shown: tokens, passwords, keys.
//!
//! A [`Secret`] prints `***` whatever asks, and is written out by nothing: it has no `Serialize`. The one door to the
//! text is [`Secret::expose`], so that a search for that word finds every place that uses one.
//!
//! A [`Credential`] is a secret that may be replaced while the service runs: it knows the file that it came from, so that
//! whoever uses it can read it again. A variable of the environment cannot change from outside, so it has no file.

pub mod seal;

use std::fmt;
use std::path::{Path, PathBuf};

/// A text that prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that was read from a file or the environment.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the header or the property that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret, and the file to read it from again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    secret: Secret,
    file: Option<PathBuf>,
}

impl Credential {
    /// A secret that stays what it is.
    pub fn fixed(text: impl Into<String>) -> Self {
        Self { secret: Secret::new(text), file: None }
    }

    /// A secret that was read from `file`, which may hold another one later.
    pub fn in_file(text: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self { secret: Secret::new(text), file: Some(file.into()) }
    }

    /// The secret as it was read last.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The file to read it from again; `None` where it cannot change.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Takes what the file holds now: `text`, less the line end after it. An empty one is a file that is being written:
    /// the old secret stays. Returns whether the secret is another one than before.
    pub fn renew(&mut self, text: &str) -> bool {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() || text == self.secret.expose() {
            return false;
        }
        self.secret = Secret::new(text);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_three_stars_alone_or_inside_another_value() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
    #[test]
    fn a_credential_takes_a_new_secret_and_keeps_the_old_one_over_a_file_that_is_being_written() {
        let mut credential = Credential::in_file("old", "/run/token");
        for (text, changed, expected) in [("old\n", false, "old"), ("", false, "old"), ("\r\n", false, "old")] {
            assert_eq!((credential.renew(text), credential.secret().expose()), (changed, expected));
        }
        assert!(credential.renew("new\n"));
        assert_eq!(credential.secret().expose(), "new");
        assert!(!format!("{credential:?}").contains("new"));
        assert_eq!((credential.file(), Credential::fixed("x").file()), (Some(Path::new("/run/token")), None));
    }
}
