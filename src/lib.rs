//! panicsift
pub mod edge;
pub mod pipeline;
