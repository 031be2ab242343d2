//! What is said of a cluster: its suspects' evidence, or that many do it.
//!
//! Reads plain counts and the suspects' points; gives a [`Judgement`] whose lines add up to its points, to the last
//! digit. Never looks at a cell or an event.

use serde::{Deserialize, Serialize};

use crate::pipeline::alert::{Evidence, Verdict};
use crate::pipeline::event::Millis;

use super::model::{self, HostilityModel, Weighed};

/// What the judge looks at in a cluster: sums over its cells, and the suspects in it.
#[derive(Debug, Clone, Copy)]
pub struct ClusterView<'a> {
    /// Events.
    pub events: u64,
    /// Distinct actors.
    pub actors: u64,
    /// First event.
    pub first: Millis,
    /// Last event.
    pub last: Millis,
    /// Events by release, the one with the most first.
    pub releases: &'a [u64],
    /// The suspects that it holds; none for an ordinary cluster.
    pub suspects: &'a [&'a Weighed],
}

/// What the judge says of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The word.
    pub verdict: Verdict,
    /// Sum of all evidence.
    pub points: f64,
    /// The probability that it is hostile, calibrated ([`HostilityModel::calibration`]); `None` where nobody is suspect.
    pub confidence: Option<f64>,
    /// What speaks for hostile, the weightiest first.
    pub evidence: Vec<Evidence>,
    /// What speaks for the defence, the weightiest first.
    pub counter_evidence: Vec<Evidence>,
}

/// Speaks about a cluster. With suspects: the evidence of the one that weighs most, and what their number adds.
/// Without: an honest fault when many do it, undecided otherwise.
pub fn judge_cluster(model: &HostilityModel, view: &ClusterView<'_>) -> Judgement {
    let Some(strongest) = view.suspects.iter().max_by_key(|weighed| weighed.centipoints) else {
        let crowd = view.actors >= u64::from(model.benign_crowd);
        let verdict = if crowd { Verdict::Benign } else { Verdict::Undecided };
        return Judgement {
            verdict,
            points: 0.0,
            confidence: None,
            evidence: Vec::new(),
            counter_evidence: Vec::new(),
        };
    };
    let mut lines = model.lines(strongest);
    let suspects = u32::try_from(view.suspects.len()).unwrap_or(u32::MAX);
    let company = i32::try_from(suspects.ilog2()).unwrap_or(0) * model.company;
    if company != 0 {
        lines.push(model::line("company", company, format!("{suspects} suspects do this together")));
    }
    let total = strongest.centipoints + company;
    lines.sort_by(|a, b| b.points.abs().total_cmp(&a.points.abs()).then_with(|| a.name.cmp(&b.name)));
    let (evidence, counter_evidence) = lines.into_iter().partition(|line| line.points > 0.0);
    let verdict = if total >= model.hostile_at { Verdict::Hostile } else { Verdict::Undecided };
    let points = f64::from(total) / 100.0;
    Judgement { verdict, points, confidence: Some(model.calibration.confidence(points)), evidence, counter_evidence }
}
