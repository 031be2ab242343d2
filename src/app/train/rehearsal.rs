//! A past through the whole pipeline, as `replay` puts it: what the service would have said of every event.
//!
//! Reads observations in the order of time; gives where each event stands at the end, the points of its sender, and the
//! alerts that were opened. No label is read here. Cost: that of a replay without decoding.

use super::Course;
use crate::pipeline::alert::Change;
use crate::pipeline::judge::HostilityModel;
use crate::pipeline::observation::{Heard, Observation};
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

/// Runs over `course` under `model`, with its samples.
pub(super) fn rehearse(context: &Context, model: &HostilityModel, course: &Course<'_>) -> Rehearsal {
    let Course { seen, ordinary, .. } = course;
    let context = Context { hostility: model.clone(), ..context.clone() };
    let mut state = State::new(&context.clustering);
    let heard = Heard { panics: seen.clone(), ordinary: ordinary.clone() };
    let mut alerts = fold(&context, &mut state, heard, None).alerts;
    alerts.append(&mut state.close_last(&context).alerts);
    let stand = |o: &Observation<'_>| Stand {
        whereabouts: state.whereabouts(&o.cell, o.actor),
        points: state.points(model, &o.cell, o.actor),
    };
    let opened = alerts.into_iter().filter(|alert| alert.change == Change::Opened).map(|alert| alert.cluster);
    Rehearsal { stands: seen.iter().map(stand).collect(), opened: opened.collect() }
}
