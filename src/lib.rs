//! panicsift
pub mod app;
pub mod cli;
pub mod config;
pub mod logging;
pub mod report;
pub mod schemas;
pub mod secret;

pub mod edge;
pub mod pipeline;
