//! A model with other bins and thresholds, and a model as the text that it is read from.

use std::fmt::Write as _;

use super::{Bins, CUTS_MAX, Calibration, HostilityModel, OperatingPoint, POINTS_MAX, hundredths};
use crate::pipeline::judge::evidence::FACTS;
use crate::pipeline::judge::fit::Fitted;

/// A cut that no fact reaches: a fact that said nothing in the training stays in the model, and says nothing.
const NEVER: f64 = 19.99;

impl HostilityModel {
    /// The same groups, caps and neighbours with what was learned; `version` is stamped on alerts.
    #[must_use]
    pub fn refit(&self, fitted: &Fitted, version: &str) -> Self {
        let mut model = Self { version: version.to_owned(), bias: hundredths(fitted.bias), ..self.clone() };
        for (bins, learned) in model.bins.iter_mut().zip(&fitted.bins) {
            let steps = learned.iter().take(CUTS_MAX).filter(|(cut, _)| cut.abs() <= POINTS_MAX);
            let mut steps: Vec<(f64, i32)> = steps.map(|(cut, points)| (*cut, hundredths(*points))).collect();
            if steps.is_empty() {
                steps.push((NEVER, 0));
            }
            *bins = Bins { group: bins.group, steps };
        }
        model
    }

    /// The same with other thresholds in force, in hundredths of points: a sender is suspect from `suspect_at` on and
    /// until it falls below `clear_at`, and a cluster of suspects is hostile from `hostile_at` on.
    #[must_use]
    pub fn at(&self, suspect_at: i32, clear_at: i32, hostile_at: i32) -> Self {
        Self { suspect_at, clear_at: clear_at.min(suspect_at), hostile_at, ..self.clone() }
    }

    /// The same with another map from points to probabilities.
    #[must_use]
    pub fn with_calibration(&self, calibration: Calibration) -> Self {
        Self { calibration, ..self.clone() }
    }

    /// The same with other operating points, the smallest budget first; that one is in force.
    #[must_use]
    pub fn with_operating_points(&self, operating: Vec<OperatingPoint>) -> Self {
        let first = operating.first().copied();
        let model = Self { operating, ..self.clone() };
        first.map_or_else(|| model.clone(), |point| model.at(point.suspect_at, point.clear_at, point.hostile_at))
    }

    /// The text of the model, after `header`, whose lines are comments.
    pub fn text(&self, header: &str) -> String {
        let points = |centipoints: i32| format!("{:?}", f64::from(centipoints) / 100.0);
        let mut text = String::new();
        for line in header.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        let [cell, family, network, address] = self.neighbours;
        // Writing into a text cannot fail.
        let caps = self.groups.iter().fold(String::new(), |mut caps, group| {
            _ = writeln!(caps, "{} = {}", group.name, points(group.cap));
            caps
        });
        _ = write!(
            text,
            "
version = {:?}
bias = {}
# What each doubling of the suspects in a cluster adds to the points of the strongest.
company = {}
# A cluster without suspects is called benign from this many senders on; below, undecided.
benign_crowd = {}

# The most that a group may say, either way.
[caps]
{caps}
# Share of the others' mean points (never below 0, cut at `clip`) that a sender gets from its neighbours; `cap`: the sum.
[neighbours]
cell = {cell}
family = {family}
network = {network}
address = {address}
clip = {:?}
cap = {}
",
            self.version,
            points(self.bias),
            points(self.company),
            self.benign_crowd,
            self.clip,
            points(self.neighbours_cap),
        );
        self.write_decisions(&mut text);
        for (bins, (name, _)) in self.bins.iter().zip(FACTS) {
            let group = self.groups.get(bins.group).map_or("", |group| group.name.as_str());
            let cuts: Vec<f64> = bins.steps.iter().map(|(cut, _)| *cut).collect();
            let points: Vec<f64> = bins.steps.iter().map(|(_, points)| f64::from(*points) / 100.0).collect();
            _ = write!(
                text,
                "\n[[evidence]]\nname = {name:?}\ngroup = {group:?}\ncuts = {cuts:?}\npoints = {points:?}\n"
            );
        }
        text
    }

    /// What becomes of points: probabilities and thresholds.
    fn write_decisions(&self, text: &mut String) {
        let Calibration { base_rate, slope, offset } = self.calibration;
        // Writing into a text cannot fail.
        _ = write!(
            text,
            "
# The probability that an alert shows has the log odds `offset` + `slope` * points: learned on campaigns that were left
# out, at this share of hostile events.
[calibration]
base_rate = {base_rate:?}
slope = {slope:?}
offset = {offset:?}

# By how many false alerts a day may be (`false_alerts_a_day` in [models] of the configuration), from the smallest
# budget on: a sender is suspect from `suspect_at` on and until it falls below `clear_at`; a cluster of suspects is
# hostile from `hostile_at` on.
"
        );
        let points = |centipoints: i32| f64::from(centipoints) / 100.0;
        for OperatingPoint { false_alerts_a_day, suspect_at, clear_at, hostile_at } in &self.operating {
            let [suspect_at, clear_at, hostile_at] = [*suspect_at, *clear_at, *hostile_at].map(points);
            _ = write!(
                text,
                "
[[operating_point]]
false_alerts_a_day = {false_alerts_a_day:?}
suspect_at = {suspect_at:?}
clear_at = {clear_at:?}
hostile_at = {hostile_at:?}
"
            );
        }
    }
}

#[cfg(test)]
mod tests;
