//! Bytes → event. (interface; the body follows)

/// Most frames of a backtrace that are kept.
pub const FRAMES_MAX: usize = 64;
