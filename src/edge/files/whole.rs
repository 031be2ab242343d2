//! A whole file as bytes, unpacked: for what is read at once, as a traffic feed is.
//!
//! Told by its first bytes whether it is packed, as everywhere in [`super`]. Bound: the reader says how many bytes it
//! takes; a file that unpacks to more is refused, not cut.

use std::io::{self, Read};
use std::path::Path;

use super::super::SourceError;
use super::{Input, file_error, unpack};

/// Reads all of a file (`-` is standard input).
///
/// # Errors
/// [`SourceError::File`]: a file that cannot be read or unpacked, or holds more than `n_bytes_max` bytes.
pub fn read_whole(path: &Path, n_bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let read = || {
        let mut bytes = Vec::new();
        unpack(Input::open(path)?.bytes)?.take(n_bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > n_bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it holds more than {n_bytes_max} bytes; split it"),
            ));
        }
        Ok(bytes)
    };
    read().map_err(|error| file_error(path, error))
}
