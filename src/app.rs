//! What the commands do: the service, the replay, the demo.
//!
//! Takes checked settings from `main`; knows nothing of the command line. Builds what a command needs from the edges
//! and the pipeline, and owns the loop ([`engine`]).

mod judgement;
mod replay;
mod time_order;

pub use replay::{ReplayOptions, replay};
