//! Operating points: from which points on somebody is a suspect, by how many false alerts a day may be.
//!
//! Reads the table that a training made; gives the point for a budget. A smaller budget never has a lower threshold:
//! what is borne at one false alert a day is borne at three as well. Nothing is interpolated: between two budgets the
//! smaller one holds, whose false alerts were counted.

use serde::Deserialize;

/// Operating points at most.
const POINTS_MAX: usize = 16;

/// Thresholds for one budget, in hundredths of points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// False alerts a day that were borne where the thresholds were set.
    pub false_alerts_a_day: f64,
    /// Points from which an actor is a suspect.
    pub suspect_at: i32,
    /// Points below which a suspect is none any more.
    pub clear_at: i32,
    /// Points from which a cluster is hostile.
    pub hostile_at: i32,
}

/// The same as it stands in a model file, in points.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointText {
    false_alerts_a_day: f64,
    suspect_at: f64,
    clear_at: f64,
    hostile_at: f64,
}

impl OperatingPoint {
    /// The table of a model file, from the smallest budget to the greatest; what is wrong with it goes to `faults`.
    pub(super) fn table(texts: &[PointText], faults: &mut Vec<String>) -> Vec<Self> {
        if !(1..=POINTS_MAX).contains(&texts.len()) {
            faults.push(format!(
                "operating_point: 1 to {POINTS_MAX} tables [[operating_point]] with false_alerts_a_day, suspect_at, \
                 clear_at and hostile_at are needed, found {}",
                texts.len()
            ));
        }
        let table: Vec<Self> = texts.iter().map(|text| Self::of(text, faults)).collect();
        for (less, more) in table.iter().zip(table.iter().skip(1)) {
            let name = format!("operating_point for {} a day", more.false_alerts_a_day);
            if less.false_alerts_a_day >= more.false_alerts_a_day {
                faults.push(format!("{name}: it must be above the one before, {}", less.false_alerts_a_day));
            }
            for (key, less, more) in [
                ("suspect_at", less.suspect_at, more.suspect_at),
                ("clear_at", less.clear_at, more.clear_at),
                ("hostile_at", less.hostile_at, more.hostile_at),
            ] {
                if more > less {
                    faults.push(format!("{name}: {key} must not be above that of a smaller budget"));
                }
            }
        }
        table
    }

    fn of(text: &PointText, faults: &mut Vec<String>) -> Self {
        let budget = text.false_alerts_a_day;
        if !(budget.is_finite() && budget > 0.0) {
            faults.push(format!("operating_point.false_alerts_a_day: a number above 0 is needed, found {budget}"));
        }
        let mut points =
            |key: &str, value: f64| super::points(&format!("operating_point for {budget} a day: {key}"), value, faults);
        let point = Self {
            false_alerts_a_day: budget,
            suspect_at: points("suspect_at", text.suspect_at),
            clear_at: points("clear_at", text.clear_at),
            hostile_at: points("hostile_at", text.hostile_at),
        };
        if point.clear_at > point.suspect_at {
            faults.push(format!("operating_point for {budget} a day: clear_at must not be above suspect_at"));
        }
        point
    }

    /// The point with the greatest budget that is not above `false_alerts_a_day`; `table` rises.
    pub(super) fn find(table: &[Self], false_alerts_a_day: f64) -> Option<Self> {
        table.iter().rev().find(|point| point.false_alerts_a_day <= false_alerts_a_day).copied()
    }
}

#[cfg(test)]
mod tests;
