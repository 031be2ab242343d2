//! Message → class, surface, bucket: what kind of panic it was. (interface; the body follows)

use serde::{Deserialize, Serialize};

/// The careless habit that a panic came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// `unwrap` and `expect` on a path that input reaches.
    UnwrapExpect,
    /// Input taken for well formed.
    Deserialization,
    /// Index, slice, split.
    Bounds,
    /// Overflow, division, conversion.
    Arithmetic,
    /// A state that was thought impossible.
    StateInvariant,
    /// The boundary to another language or runtime.
    Ffi,
    /// Memory, stack, limits.
    Resource,
    /// Files, variables, clocks.
    Environment,
    /// Cannot be told.
    #[default]
    Unknown,
}

/// What recovery may do next.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// The same request may succeed when sent again.
    RetrySafe,
    /// The same request fails until somebody changes it or the code.
    RetryAfterFix,
    /// Sending it again can only do harm.
    #[default]
    NeverRetry,
    /// The isolate or process must be given up first.
    IsolateReset,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Class id, such as `index_oob`; `custom` for free text.
    pub class: String,
    /// Surface.
    pub surface: Surface,
    /// Bucket.
    pub bucket: Bucket,
    /// A consequence of an earlier panic (poisoned lock, child task): its sender bears no evidence.
    pub secondary: bool,
    /// The message without its values: digits, quoted texts and payload bytes are placeholders. At most
    /// `MASKED_BYTES_MAX` bytes, one line, printable.
    pub masked: String,
}
