//! Weights of evidence (`models/hostility.toml`): read, checked as a whole, applied.
//!
//! A model is data: bins and points per fact, a cap per group, weights of the neighbours' points, thresholds by budget
//! of false alerts ([`OperatingPoint`]), of which one is in force. All
//! points are kept as whole hundredths, so that a person who adds an alert's lines gets its points to the last digit.
//! A model with a fault is refused with every fault named; nothing here reads a file.

mod calibration;
mod operating;
mod refit;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::alert::Evidence;

use self::operating::PointText;
use super::evidence::{FACTS, FACTS_LEN, Facts, Near};

pub use self::calibration::Calibration;
pub use self::operating::OperatingPoint;

/// Bins of one fact at most.
const CUTS_MAX: usize = 8;
/// Points of one bin at most, either way: nothing outweighs everything else.
const POINTS_MAX: f64 = 20.0;
/// Kinds of neighbours, in the order of [`Near::points`].
const NEIGHBOUR_NAMES: [&str; 4] = ["cell_points", "family_points", "network_points", "address_points"];
/// What they mean.
const NEIGHBOUR_WORDS: [&str; 4] = [
    "points of others that do the same",
    "points of others with the same client program",
    "points of others from the same network",
    "points of others at the same address",
];

/// The model that is built in.
const EMBEDDED: &str = include_str!("../../../models/hostility.toml");

/// Why a model is refused: all faults, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hostility model cannot be used: {0}")]
pub struct ModelError(pub String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: String,
    bias: f64,
    company: f64,
    benign_crowd: u32,
    caps: BTreeMap<String, f64>,
    neighbours: NeighbourText,
    calibration: Calibration,
    #[serde(default)]
    operating_point: Vec<PointText>,
    evidence: Vec<FactText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeighbourText {
    cell: f64,
    family: f64,
    network: f64,
    address: f64,
    clip: f64,
    cap: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactText {
    name: String,
    group: String,
    cuts: Vec<f64>,
    points: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Group {
    name: String,
    cap: i32,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Bins {
    group: usize,
    /// (from which value on, hundredths of points), rising.
    steps: Vec<(f64, i32)>,
}

/// Weights of evidence, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct HostilityModel {
    /// Version, stamped on every alert.
    pub version: String,
    /// Points from which an actor is a suspect, hundredths: that of the operating point in force.
    pub suspect_at: i32,
    /// Points below which a suspect is none any more, hundredths: likewise.
    pub clear_at: i32,
    /// Points from which a cluster is hostile, hundredths: likewise, or the configuration's.
    pub hostile_at: i32,
    /// Points for each doubling of suspects in a cluster, hundredths.
    pub company: i32,
    /// Actors from which an ordinary cluster is called benign.
    pub benign_crowd: u32,
    /// From points to the probability that is told.
    pub calibration: Calibration,
    bias: i32,
    groups: Vec<Group>,
    bins: Vec<Bins>,
    neighbours: [f64; 4],
    clip: f64,
    neighbours_cap: i32,
    /// By budget, rising.
    operating: Vec<OperatingPoint>,
}

/// An actor's points, taken apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Weighed {
    /// All points, hundredths.
    pub centipoints: i32,
    /// The facts that they are for.
    pub facts: Facts,
    /// Prior, hundredths.
    pub bias: i32,
    /// By fact, hundredths.
    pub terms: [i32; FACTS_LEN],
    /// What the caps took away, by group, hundredths.
    pub capped: Vec<i32>,
    /// By kind of neighbour, hundredths.
    pub neighbours: [i32; 4],
}

impl Weighed {
    /// All points.
    pub fn points(&self) -> f64 {
        f64::from(self.centipoints) / 100.0
    }
}

impl HostilityModel {
    /// The built-in model.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(EMBEDDED)
    }

    /// Sets the points from which a cluster is hostile: the configuration's word over the model's.
    pub fn set_hostile_at(&mut self, points: f64) {
        self.hostile_at = hundredths(points.clamp(-POINTS_MAX, POINTS_MAX));
    }

    /// The same with the operating point in force that has the greatest budget not above `false_alerts_a_day`.
    ///
    /// # Errors
    /// The model has none: all its points are for more false alerts.
    pub fn for_budget(&self, false_alerts_a_day: f64) -> Result<Self, ModelError> {
        let point = OperatingPoint::find(&self.operating, false_alerts_a_day).ok_or_else(|| {
            let least = self.operating.first().map_or(0.0, |point| point.false_alerts_a_day);
            ModelError(format!(
                "it has no operating point for {false_alerts_a_day} false alerts a day or fewer, the least is for \
                 {least}: raise models.false_alerts_a_day, or train a model that has one"
            ))
        })?;
        Ok(self.at(point.suspect_at, point.clear_at, point.hostile_at))
    }

    /// Reads and checks a model. The operating point with the smallest budget is in force, until
    /// [`Self::for_budget`] says otherwise.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text: Text = toml::from_str(text).map_err(|error| ModelError(error.to_string()))?;
        let mut faults = Vec::new();
        text.calibration.check(&mut faults);
        let operating = OperatingPoint::table(&text.operating_point, &mut faults);
        let [suspect_at, clear_at, hostile_at] =
            operating.first().map_or([0; 3], |point| [point.suspect_at, point.clear_at, point.hostile_at]);
        let mut points = |name: &str, value: f64| points(name, value, &mut faults);
        let groups: Vec<Group> = text
            .caps
            .iter()
            .map(|(name, cap)| Group { name: name.clone(), cap: points(&format!("caps.{name}"), *cap).abs() })
            .collect();
        let n = &text.neighbours;
        let mut model = Self {
            version: text.version,
            suspect_at,
            clear_at,
            hostile_at,
            company: points("company", text.company),
            benign_crowd: text.benign_crowd,
            calibration: text.calibration,
            bias: points("bias", text.bias),
            groups,
            bins: vec![Bins::default(); FACTS_LEN],
            neighbours: [("cell", n.cell), ("family", n.family), ("network", n.network), ("address", n.address)]
                .map(|(name, value)| f64::from(points(&format!("neighbours.{name}"), value)) / 100.0),
            clip: f64::from(points("neighbours.clip", n.clip)) / 100.0,
            neighbours_cap: points("neighbours.cap", n.cap).abs(),
            operating,
        };
        for fact in &text.evidence {
            if let Err(fault) = model.take_bins(fact) {
                faults.push(format!("evidence {}: {fault}", fact.name));
            }
        }
        for (bins, (name, _)) in model.bins.iter().zip(FACTS) {
            if bins.steps.is_empty() {
                faults.push(format!("evidence {name}: it must be there, with at least one cut"));
            }
        }
        if faults.is_empty() { Ok(model) } else { Err(ModelError(faults.join("; "))) }
    }

    fn take_bins(&mut self, fact: &FactText) -> Result<(), String> {
        let index = FACTS.iter().position(|(name, _)| *name == fact.name).ok_or("no such fact")?;
        let group = self.groups.iter().position(|group| group.name == fact.group).ok_or("its group has no cap")?;
        let rising = fact.cuts.iter().zip(fact.cuts.iter().skip(1)).all(|(a, b)| a < b);
        if fact.cuts.len() != fact.points.len() || fact.cuts.is_empty() || fact.cuts.len() > CUTS_MAX || !rising {
            return Err(format!("1 to {CUTS_MAX} rising cuts are needed and as many points"));
        }
        if fact.cuts.iter().chain(&fact.points).any(|value| !value.is_finite() || value.abs() > POINTS_MAX) {
            return Err(format!("numbers between -{POINTS_MAX} and {POINTS_MAX} are needed"));
        }
        let steps = fact.cuts.iter().zip(&fact.points).map(|(cut, points)| (*cut, hundredths(*points))).collect();
        let bins = self.bins.get_mut(index).ok_or("no such fact")?;
        if !bins.steps.is_empty() {
            return Err("it stands twice".to_owned());
        }
        *bins = Bins { group, steps };
        Ok(())
    }

    /// Adds the facts up; `near` is `None` for the word that an actor gives its neighbours about itself.
    pub fn weigh(&self, facts: Facts, near: Option<&Near>) -> Weighed {
        let mut weighed = Weighed { facts, bias: self.bias, capped: vec![0; self.groups.len()], ..Weighed::default() };
        let mut sums = vec![0_i32; self.groups.len()];
        for (at, (bins, term)) in self.bins.iter().zip(&mut weighed.terms).enumerate() {
            let value = facts.get(at);
            *term = bins.steps.iter().take_while(|(cut, _)| value >= *cut).map(|(_, points)| points).sum();
            if let Some(sum) = sums.get_mut(bins.group) {
                *sum += *term;
            }
        }
        let mut total = self.bias;
        for ((group, sum), taken) in self.groups.iter().zip(&sums).zip(&mut weighed.capped) {
            let kept = (*sum).clamp(-group.cap, group.cap);
            *taken = kept - sum;
            total += kept;
        }
        if let Some(near) = near {
            let mut room = self.neighbours_cap;
            for ((term, weight), points) in weighed.neighbours.iter_mut().zip(self.neighbours).zip(near.points) {
                *term = hundredths(weight * points.clamp(-self.clip, self.clip)).clamp(-room, room);
                room -= term.abs();
                total += *term;
            }
        }
        weighed.centipoints = total;
        weighed
    }

    /// The points an actor tells its neighbours: those of its own conduct, clipped, none where they are negative (that
    /// a neighbour is harmless says little; that it is hostile says much), hundredths.
    pub fn word(&self, weighed: &Weighed) -> i32 {
        let clip = hundredths(self.clip);
        weighed.centipoints.clamp(0, clip)
    }

    /// The lines of an actor's points: they add up to [`Weighed::centipoints`].
    pub fn lines(&self, weighed: &Weighed) -> Vec<Evidence> {
        let mut lines = vec![line("prior", weighed.bias, "before anything is known of a sender".to_owned())];
        for (at, ((name, words), term)) in FACTS.iter().zip(weighed.terms).enumerate() {
            lines.push(line(name, term, format!("{:.2} {words}", weighed.facts.get(at))));
        }
        for (group, taken) in self.groups.iter().zip(&weighed.capped) {
            let words = format!(
                "evidence of one group says the same thing twice: capped at {:.2}",
                f64::from(group.cap) / 100.0
            );
            lines.push(line(&format!("cap_{}", group.name), *taken, words));
        }
        for ((name, words), term) in NEIGHBOUR_NAMES.iter().zip(NEIGHBOUR_WORDS).zip(weighed.neighbours) {
            lines.push(line(name, term, words.to_owned()));
        }
        lines.retain(|line| line.points != 0.0);
        lines
    }
}

/// A line of evidence.
pub fn line(name: &str, centipoints: i32, words: String) -> Evidence {
    Evidence { name: name.to_owned(), points: f64::from(centipoints) / 100.0, words }
}

/// Points that may stand in a model, as whole hundredths; others go to `faults`, with their `name`.
fn points(name: &str, value: f64, faults: &mut Vec<String>) -> i32 {
    if value.is_finite() && value.abs() <= POINTS_MAX {
        return hundredths(value);
    }
    faults.push(format!("{name}: a number between -{POINTS_MAX} and {POINTS_MAX} is needed, found {value}"));
    0
}

/// Points as whole hundredths.
fn hundredths(points: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates; callers check or clip the range")]
    let whole = (points * 100.0).round() as i32;
    whole
}
