//! panicsift
pub mod edge;
pub mod pipeline;
pub mod secret;
