//! What may be typed behind `inspect`.

use std::path::PathBuf;

use clap::Args;

use crate::app::Inspection;
use crate::pipeline::decode::{Feed, UNNAMED_SERVICE};
use crate::pipeline::event::{Carrier, Millis};

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Files of records, one a line, or one pretty-printed or binary record a file; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
    /// What is known of the records.
    #[command(flatten)]
    pub feed: FeedArgs,
    /// Also tell of records that tell of no panic, or of a part of one
    #[arg(long)]
    pub all: bool,
    /// Also write bodies, values of queries and idempotency keys
    #[arg(long)]
    pub with_values: bool,
}

impl InspectArgs {
    /// What was typed; events that nobody dates happened `now`.
    pub fn inspection(self, now: Millis) -> Inspection {
        let feed = Feed { time: Some(now), ..self.feed.feed() };
        Inspection { inputs: self.inputs, feed, all: self.all, values: self.with_values }
    }
}

/// What is known of records in files, as a configuration knows it of a topic.
#[derive(Debug, Args)]
pub struct FeedArgs {
    /// Carrier of all records; auto tells it from each
    #[arg(long, value_name = "CARRIER", default_value = "auto", value_parser = carriers())]
    pub carrier: String,
    /// Service of events whose carrier names none
    #[arg(long, value_name = "NAME", default_value = UNNAMED_SERVICE)]
    pub service: String,
}

fn carriers() -> clap::builder::PossibleValuesParser {
    std::iter::once("auto").chain(Carrier::ALL.map(Carrier::name)).collect::<Vec<_>>().into()
}

impl FeedArgs {
    /// What was typed.
    pub fn feed(self) -> Feed {
        Feed { carrier: Carrier::named(&self.carrier), service: self.service, ..Feed::default() }
    }
}
