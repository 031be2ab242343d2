//! Sealing bytes to a public key, so that this process cannot read them again: the age format, X25519 recipients.
//!
//! The only door to the `age` crate. What is sealed is a binary age file, which `age --decrypt` opens as well. Costs
//! one X25519 agreement a recipient and a header of some hundred bytes; opening is bounded by the size that is expected.

use std::io::{Read, Write};
use std::str::FromStr;

use age::{Decryptor, Encryptor, x25519};

use super::Secret;

/// Why something was not sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Not a public key of age.
    #[error("this is no X25519 recipient of age; it begins with age1, `age-keygen` makes one")]
    Recipient,
    /// A file without a secret key of age.
    #[error("there is no X25519 identity of age in it; a line of it begins with AGE-SECRET-KEY-1")]
    Identity,
    /// The bytes could not be sealed.
    #[error("the bytes cannot be sealed: {0}")]
    Seal(String),
    /// Sealed for somebody else, or damaged.
    #[error("it cannot be opened with this identity: {0}")]
    Open(String),
}

/// Whom bytes are sealed to: one X25519 public key of age. It is no secret.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl Recipient {
    /// Reads `age1…`.
    ///
    /// # Errors
    /// [`SealError::Recipient`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        x25519::Recipient::from_str(text.trim()).map(Self).map_err(|_| SealError::Recipient)
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

/// Seals bytes so that any of the recipients, and nobody else, can open them.
///
/// # Errors
/// [`SealError::Seal`], also when there is no recipient.
pub fn seal(recipients: &[Recipient], bytes: &[u8]) -> Result<Vec<u8>, SealError> {
    let failed = |error: &dyn std::fmt::Display| SealError::Seal(error.to_string());
    let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(|error| failed(&error))?;
    let mut sealed = Vec::with_capacity(bytes.len());
    let write = || -> std::io::Result<()> {
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(bytes)?;
        writer.finish().map(drop)
    };
    write().map_err(|error| failed(&error))?;
    Ok(sealed)
}

/// Secret keys that open what was sealed to them.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads an identity file as `age-keygen` writes it: a key a line, lines with `#` are comments.
    ///
    /// # Errors
    /// [`SealError::Identity`] for a line that is none, or no line at all.
    pub fn parse(text: &Secret) -> Result<Self, SealError> {
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Result<Vec<_>, _> = lines.map(x25519::Identity::from_str).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(Self(keys)),
            _ => Err(SealError::Identity),
        }
    }

    /// Opens what was sealed; at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, sealed: &[u8], bytes_max: u64) -> Result<Vec<u8>, SealError> {
        let failed = |error: &dyn std::fmt::Display| SealError::Open(error.to_string());
        let decryptor = Decryptor::new_buffered(sealed).map_err(|error| failed(&error))?;
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| failed(&error))?;
        let mut bytes = Vec::new();
        let n_bytes =
            reader.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if u64::try_from(n_bytes).is_ok_and(|n_bytes| n_bytes <= bytes_max) {
            return Ok(bytes);
        }
        Err(failed(&format!("it holds more than the {bytes_max} bytes that were announced")))
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;

    use super::*;

    fn key_pair() -> (Identities, Recipient) {
        let key = x25519::Identity::generate();
        let file = format!("# created: today\n# public key: …\n\n{}\n", key.to_string().expose_secret());
        let recipient = Recipient::parse(&format!(" {} ", key.to_public())).unwrap();
        (Identities::parse(&Secret::new(file)).unwrap(), recipient)
    }

    #[test]
    fn each_recipient_and_nobody_else_opens_what_was_sealed() {
        let ((alice, to_alice), (bob, to_bob), (eve, _)) = (key_pair(), key_pair(), key_pair());
        for bytes in [&b""[..], b"canary", &vec![0xff; 100_000]] {
            let sealed = seal(&[to_alice.clone(), to_bob.clone()], bytes).unwrap();
            let n_bytes = bytes.len() as u64;
            assert_eq!(alice.open(&sealed, n_bytes).unwrap(), bytes);
            assert_eq!(bob.open(&sealed, n_bytes).unwrap(), bytes);
            assert!(matches!(eve.open(&sealed, n_bytes), Err(SealError::Open(_))));
            assert!(bytes.is_empty() || !sealed.windows(bytes.len()).any(|part| part == bytes));
        }
    }

    #[test]
    fn what_was_damaged_or_is_larger_than_announced_is_not_opened() {
        let (alice, to_alice) = key_pair();
        let sealed = seal(&[to_alice], b"canary").unwrap();
        assert!(alice.open(&sealed, 5).is_err());
        assert!(alice.open(&sealed[..sealed.len() - 1], 6).is_err());
        assert!(alice.open(b"", 6).is_err());
        assert!(alice.open(b"age-encryption.org/v1\n", 6).is_err());
        let mut flipped = sealed;
        *flipped.last_mut().unwrap() ^= 1;
        assert!(alice.open(&flipped, 6).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_and_none_is_shown() {
        for text in ["", "age1", "AGE-SECRET-KEY-1", "ssh-ed25519 AAAA"] {
            assert_eq!(Recipient::parse(text).unwrap_err(), SealError::Recipient);
            assert_eq!(Identities::parse(&Secret::new(text)).unwrap_err(), SealError::Identity);
        }
        assert!(seal(&[], b"x").is_err(), "sealed to nobody is lost");
        assert_eq!(format!("{:?}", key_pair().0), "***");
    }
}
