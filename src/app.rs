//! What the commands do: the service, the replay, the demo.
//!
//! Takes checked settings from `main`; knows nothing of the command line. Builds what a command needs from the edges
//! and the pipeline, and owns the loop ([`engine`]).

pub mod engine;

mod idle;
mod service;
mod watchdog;

mod destinations;
mod judgement;
mod key;
mod reload;

mod replay;
mod time_order;

mod demo;

use crate::pipeline::event::Millis;

pub use demo::{Demo, demo};
pub use engine::Fates;
pub use replay::{ReplayOptions, replay};
pub use service::run;

/// Real time: for the dead letters' share, the age of what is pruned, and epochs that close while nothing comes.
#[expect(clippy::disallowed_methods, reason = "the loop's one look at the clock; everything else counts event time")]
fn wall_clock() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Time that only ever goes on: for how long something took.
#[expect(clippy::disallowed_methods, reason = "how long something took is a fact of this machine")]
fn steady_clock() -> std::time::Instant {
    std::time::Instant::now()
}
