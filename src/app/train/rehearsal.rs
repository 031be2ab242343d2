//! A past through the whole pipeline, as `replay` puts it: what the service would have said of every event.
//!
//! Reads observations in the order of time; gives where each event stands at the end, the points of its sender, and the
//! alerts that were opened. No label is read here. Cost: that of a replay without decoding.

use crate::pipeline::alert::{Alert, Category, Change};
use crate::pipeline::judge::HostilityModel;
use crate::pipeline::observation::Observation;
use crate::pipeline::state::State;
use crate::pipeline::tenant::Whereabouts;
use crate::pipeline::{Context, fold};

/// What came of a past.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    /// One for each observation, in their order.
    pub(super) stands: Vec<Stand>,
    /// The clusters for which alerts were opened, one an alert.
    pub(super) opened: Vec<String>,
}

/// What is said of one event at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stand {
    /// Its cluster, the verdict, and since when an alert covers it.
    pub(super) whereabouts: Whereabouts,
    /// Points of its sender; `None` for who is not weighed at all.
    pub(super) points: Option<f64>,
}

/// Runs over `seen` under `model`.
pub(super) fn rehearse(context: &Context, model: &HostilityModel, seen: &[Observation<'_>]) -> Rehearsal {
    let context = Context { hostility: model.clone(), ..context.clone() };
    let mut state = State::new(&context.clustering);
    let mut alerts = fold(&context, &mut state, seen.to_vec(), None).alerts;
    alerts.append(&mut state.close_last(&context).alerts);
    let stand = |o: &Observation<'_>| Stand {
        whereabouts: state.whereabouts(&o.cell, o.actor),
        points: state.points(model, &o.cell, o.actor),
    };
    // What operations are alerted on is no word of the judge.
    let is_told = |alert: &Alert| alert.change == Change::Opened && alert.category == Category::HostileInput;
    let opened = alerts.into_iter().filter(is_told).map(|alert| alert.cluster);
    Rehearsal { stands: seen.iter().map(stand).collect(), opened: opened.collect() }
}
