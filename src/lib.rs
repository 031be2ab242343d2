//! panicsift
pub mod config;
pub mod edge;
pub mod pipeline;
pub mod secret;
