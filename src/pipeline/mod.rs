//! The pure core: what one record says ([`examine()`]) and what a batch changes ([`fold`]).
//!
//! Everything under this module is a function of its arguments: no clock, disk, network, environment, task, metric or
//! log. Time is passed in, effects are returned. That is what makes replay exact, proof possible and the panic fence
//! around a record honest. Files stand in the order in which a record meets them.

pub mod event;
pub mod keys;
pub mod memo;
pub mod model;
pub mod neutral;

pub mod decode;

pub mod classify;

pub mod enrich;

pub mod expected;

pub mod fingerprint;

mod by_value;
pub mod observation;

mod examine;

pub mod gather;
pub mod sift;

pub mod cell;
pub mod cells;
pub mod sample;
pub mod short_map;

pub mod cluster;
pub mod rows;
pub mod shares;

pub mod judge;

pub mod alert;
pub mod brief;
pub mod digest;
pub mod life;
pub mod portrait;
pub mod rulings;

pub mod causes;
pub mod census;
pub mod facts;
pub mod names;
pub mod operations;
pub mod recent;
pub mod reorder;
pub mod requests;
pub mod sightings;
pub mod state;
pub mod stored;
pub mod surfaces;
pub mod tenant;

use std::sync::Arc;

pub use examine::{Examined, Memos, actor, examine};

use self::alert::Alert;
use self::brief::searches::Places;
use self::classify::PanicModel;
use self::cluster::ClusteringModel;
use self::decode::Feeds;
use self::enrich::{Lookup, ScopeModel};
use self::event::{Millis, Position};
use self::expected::Expected;
use self::facts::PanicFact;
use self::gather::GatherPolicy;
use self::judge::HostilityModel;
use self::keys::Keys;
use self::life::AlertPolicy;
use self::observation::{ByTime, Heard, Observation, OrdinaryRequest};
use self::operations::Rules;
use self::reorder::Rank;
use self::state::{State, StateRow};

/// All that records are judged with: immutable, shared, replaced as a whole between two batches.
#[derive(Clone)]
pub struct Context {
    /// Keys of the deployment.
    pub keys: Keys,
    /// What is said of the topics.
    pub feeds: Feeds,
    /// How long pieces of one panic wait for each other.
    pub gathering: GatherPolicy,
    /// Message patterns.
    pub panics: PanicModel,
    /// Scope names.
    pub scopes: ScopeModel,
    /// Distances, gates, caps.
    pub clustering: ClusteringModel,
    /// Weights of evidence.
    pub hostility: HostilityModel,
    /// Announced tests.
    pub expected: Expected,
    /// How patient alerts are.
    pub alerts: AlertPolicy,
    /// Where alerts go, for the searches in them.
    pub places: Places,
    /// What operations are told by: declarations, limits, criteria, objectives.
    pub operations: Rules,
    /// Outside facts.
    pub lookup: Arc<dyn Lookup>,
    /// Versions of the models, stamped on every alert.
    pub version: String,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Step {
    /// Changes in clusters' lives, in the order in which they were decided.
    pub alerts: Vec<Alert>,
    /// State that changed.
    pub rows: Vec<StateRow>,
    /// Records whose event had been seen before: topic, partition, offset.
    pub duplicates: Vec<(String, i32, i64)>,
    /// What operations count of each event that was there for the first time.
    pub panics: Vec<PanicFact>,
    /// Events of an epoch that was closed already; they count, but were not there when it was judged.
    pub late: u64,
    /// Epochs closed.
    pub epochs: u64,
    /// Rows that went through the clustering.
    pub n_rows_clustered: u64,
    /// Clusterings that failed and fell back to exact keys.
    pub fallbacks: u64,
}

/// Takes a batch into the state, in the order of event time; closes the epochs that end before its events, or before
/// `until`. Partitions are read in no particular order, so a batch is put in order first, and where the context says so
/// events wait for earlier ones of later batches ([`reorder`]).
///
/// Requests that did not panic are taken in between, each before the first event that is later and before the closing of
/// an epoch that it lies in or before; those that are left after the last event, at the end. They close nothing: the clock
/// is that of the panics. Whoever has the records of several topics in the order of time keeps those back that are later
/// than all panics at hand (`replay` does); a service takes them as they come, and late ones are learned from as well.
///
/// Changes `state` in place: see the crate's page for why that is safe. Costs about a microsecond an event, and some
/// milliseconds an epoch.
pub fn fold<'a>(context: &Context, state: &mut State, heard: impl Into<Heard<'a>>, until: Option<Millis>) -> Step {
    let mut step = Step::default();
    let Heard { panics: mut seen, mut ordinary } = heard.into();
    OrdinaryRequest::put_in_order(&mut ordinary);
    let mut ordinary = ByTime::of(&ordinary);
    seen.sort_by_key(Rank::of);
    seen.retain(|observation| {
        let is_new = state.is_new(observation);
        if is_new {
            step.panics.push(PanicFact::of(observation));
        } else {
            let Position { topic, partition, offset } = observation.position;
            step.duplicates.push((topic.to_owned(), partition, offset));
        }
        is_new
    });
    let waited = state.reorder.exchange(&mut seen, context.gathering.order_wait_millis, until);
    let mut due: Vec<Observation<'_>> = seen;
    if !waited.is_empty() {
        due.extend(waited.iter().filter_map(|waited| postcard::from_bytes(waited).ok()));
        due.sort_by_key(Rank::of);
    }
    for observation in &due {
        state.take(context, observation, &mut ordinary, &mut step);
    }
    if let Some(until) = until {
        state.hear(ordinary.before(state.epoch_end(context)));
        state.close_epochs(context, until, &mut step);
    }
    state.hear(ordinary.rest());
    step.rows = state.take_rows();
    step
}
