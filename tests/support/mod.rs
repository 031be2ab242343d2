//! What several test modules need.

pub(crate) mod kafka;
pub(crate) mod servers;
