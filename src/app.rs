//! What the commands do: the service, the replay, the demo, the preparation of destinations, the live view.
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
mod samples;
mod time_order;
mod traffic;

mod demo;

mod inspect;

pub mod dead_letters;
pub mod label;
pub mod outbox;
mod setup;
mod train;

mod top;

use crate::pipeline::event::Millis;

pub use demo::{Demo, demo};
pub use engine::Fates;
pub use inspect::{Inspection, inspect};
pub use replay::{ReplayOptions, replay};
pub use service::run;
pub use setup::{print_elastic, setup_elastic};
pub use top::{AdminPort, TopOptions, top};
pub use train::{Protocol, TrainOptions, train};

pub use crate::edge::elastic::Product;

/// A text of the outside as it may be shown: one printable line, bounded.
fn plain(text: &str) -> String {
    crate::pipeline::neutral::line(text, 400).into_owned()
}

/// Real time: for the dead letters' share, the age of what is pruned or waits, and epochs that close while nothing comes.
#[expect(clippy::disallowed_methods, reason = "the loop's one look at the clock; everything else counts event time")]
pub fn wall_clock() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Time that only ever goes on: for how long something took.
#[expect(clippy::disallowed_methods, reason = "how long something took is a fact of this machine")]
fn steady_clock() -> std::time::Instant {
    std::time::Instant::now()
}
