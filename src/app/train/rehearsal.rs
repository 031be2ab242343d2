//! A past through the whole pipeline, as `replay` puts it: what the service would have said of every event.
//!
//! Reads observations in the order of time; gives where each event stands at the end, the points of its sender, and the
//! alerts that were opened. No label is read here. Cost: that of a replay without decoding.

use std::collections::BTreeSet;

use super::Course;
use crate::pipeline::alert::{Alert, Category, Change};
use crate::pipeline::judge::{Calibration, HostilityModel};
use crate::pipeline::observation::{Actor, Heard, Observation};
use crate::pipeline::state::State;
use crate::pipeline::tenant::Whereabouts;
use crate::pipeline::{Context, fold};

/// Senders that one alert may be about; the sets' honest causes that look hostile have one to eight.
const SENDERS_AN_ALERT: usize = 8;

/// What came of a past.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// One for each observation, in their order.
    pub(super) stands: Vec<Stand>,
    /// The alerts that were opened.
    pub(super) opened: Vec<Opened>,
    /// The map of points to probabilities that the model has.
    pub(super) calibration: Calibration,
    /// Senders of events that an alert covers.
    n_covered: usize,
}

impl Rehearsal {
    /// What the alerts cost who reads them, in alerts: an alert on a crowd is as many as its senders would fill. Otherwise
    /// a threshold so low that everybody is a suspect, in one cluster, would cost next to nothing.
    pub(super) fn burden(&self) -> usize {
        self.opened.len().max(self.n_covered.div_ceil(SENDERS_AN_ALERT))
    }
}

/// An alert that was opened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opened {
    pub(super) cluster: String,
    /// Points of the cluster when it was opened.
    pub(super) points: f64,
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
    // What operations are alerted on is no word of the judge.
    let is_told = |alert: &Alert| alert.change == Change::Opened && alert.category == Category::HostileInput;
    let opened = alerts.into_iter().filter(is_told);
    let opened = opened.map(|alert| Opened { cluster: alert.cluster, points: alert.portrait.points });
    let stands: Vec<Stand> = seen.iter().map(stand).collect();
    let covered = seen.iter().zip(&stands).filter(|(_, stand)| stand.whereabouts.alerted_at.is_some());
    let covered: BTreeSet<Actor> = covered.map(|(o, _)| o.actor).collect();
    Rehearsal { stands, opened: opened.collect(), calibration: model.calibration, n_covered: covered.len() }
}
