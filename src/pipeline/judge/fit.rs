//! Bins and points from lessons: an additive logistic regression.
//!
//! Reads facts with what is true of them and how much each example counts; gives the cuts and points of each fact and
//! the prior. Cuts stand at quantiles of the weighted examples. A bin's points count from its cut on, so the points of a
//! fact are the sum of its bins'. What a fact may say is fixed by its nature: evidence speaks for hostile or not at
//! all, the defence speaks against it or not at all ([`is_defence`]); a bin that the examples contradict gets 0. So a
//! habit of the few campaigns of a set cannot turn evidence into its opposite.
//!
//! The objective is convex: weighted log loss and a quadratic pull towards 0. It is descended by accelerated projected
//! gradients (Nesterov 1983; Beck and Teboulle 2009) for a fixed number of steps from nothing, in a fixed order: the
//! same examples give the same points. Cost: some 400 passes over the examples' bins, seconds for 100,000 of them.

use super::evidence::{FACTS_LEN, Fact, Facts};

/// Where cuts stand among the examples that have more of a fact than the least: most senders have nothing of most.
const QUANTILES: [f64; 6] = [0.02, 0.25, 0.50, 0.70, 0.85, 0.95];
/// Pull of every point towards 0, on a total weight of 3, shared out over the hostile campaigns that the examples are of:
/// what few campaigns say is believed less. (One pull for all, right for the campaigns of two sets together, made a habit of
/// the few campaigns of one set into evidence.)
const PULL: f64 = 0.27;
/// What the honest examples weigh together.
const HONEST_WEIGHT: f64 = 2.0;
/// What the hostile examples weigh together: a false alarm costs twice as much as a miss.
const HOSTILE_WEIGHT: f64 = 1.0;
/// Steps of the descent; points move by less than a hundredth after 300.
const STEPS: usize = 400;
/// Steps of the power iteration for the greatest curvature.
const CURVATURE_STEPS: usize = 30;

/// One sender, and what is true of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What the judge knows.
    pub facts: Facts,
    /// It is hostile.
    pub hostile: bool,
    /// How much it counts, above 0; only ratios within one class matter.
    pub weight: f64,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The prior.
    pub bias: f64,
    /// By fact: cut and points, rising. Empty where the examples do not differ.
    pub bins: Vec<Vec<(f64, f64)>>,
}

/// Whether a fact may only speak against hostile.
pub fn is_defence(fact: usize) -> bool {
    let defence = [Fact::TokenFirst, Fact::Crowd, Fact::Age, Fact::Repeats, Fact::Retries, Fact::Served];
    defence.into_iter().any(|of_defence| of_defence as usize == fact)
}

/// Fits on examples of `n_campaigns` hostile campaigns; `None` unless there are examples of both kinds.
pub fn fit(examples: &[Example], n_campaigns: usize) -> Option<Fitted> {
    let weights = balanced(examples)?;
    let cuts: Vec<Vec<f64>> = (0..FACTS_LEN).map(|fact| cuts(examples, &weights, fact)).collect();
    let active: Vec<Vec<usize>> = examples.iter().map(|example| active(&cuts, &example.facts)).collect();
    let defence: Vec<bool> =
        (0..).zip(&cuts).flat_map(|(fact, cuts)| cuts.iter().map(move |_| is_defence(fact))).collect();
    let pull = PULL / f64::from(u32::try_from(n_campaigns.max(1)).unwrap_or(u32::MAX));
    let problem = Problem { examples, weights, active, defence, pull };
    let found = problem.descend();
    let (prior, mut points) = (found.first().copied()?, found.into_iter().skip(1));
    let bins = cuts.into_iter().map(|cuts| cuts.into_iter().zip(points.by_ref()).collect()).collect();
    Some(Fitted { bias: prior, bins })
}

/// Each kind of example weighs what it is to weigh.
fn balanced(examples: &[Example]) -> Option<Vec<f64>> {
    let sum = |hostile: bool| -> f64 {
        examples.iter().filter(|example| example.hostile == hostile).map(|example| example.weight).sum()
    };
    let (honest, hostile) = (sum(false), sum(true));
    let scale = |example: &Example| if example.hostile { HOSTILE_WEIGHT / hostile } else { HONEST_WEIGHT / honest };
    (honest > 0.0 && hostile > 0.0).then(|| examples.iter().map(|example| example.weight * scale(example)).collect())
}

/// Distinct quantiles of a fact above its smallest value, in hundredths.
fn cuts(examples: &[Example], weights: &[f64], fact: usize) -> Vec<f64> {
    let mut values: Vec<(f64, f64)> =
        examples.iter().zip(weights).map(|(example, weight)| (example.facts.get(fact), *weight)).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let least = values.first().map_or(0.0, |(value, _)| *value);
    values.retain(|(value, _)| *value > least);
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut cuts: Vec<f64> = Vec::new();
    let (mut below, mut values) = (0.0, values.into_iter());
    for quantile in QUANTILES {
        let at = values.by_ref().find(|(_, weight)| {
            below += weight;
            below >= quantile * total
        });
        let Some((value, _)) = at else { break };
        let cut = (value * 100.0).round() / 100.0;
        if cut > least && cuts.last().is_none_or(|last| cut > *last) {
            cuts.push(cut);
        }
    }
    cuts
}

/// Positions of the bins that an example is in; position 0 is the prior, which it always is in.
fn active(cuts: &[Vec<f64>], facts: &Facts) -> Vec<usize> {
    let mut active = vec![0];
    let mut position = 1;
    for (fact, cuts) in cuts.iter().enumerate() {
        let value = facts.get(fact);
        active.extend((position..).zip(cuts).filter(|(_, cut)| value >= **cut).map(|(at, _)| at));
        position += cuts.len();
    }
    active
}

struct Problem<'e> {
    examples: &'e [Example],
    weights: Vec<f64>,
    active: Vec<Vec<usize>>,
    /// By bin, the prior left out.
    defence: Vec<bool>,
    pull: f64,
}

impl Problem<'_> {
    fn descend(&self) -> Vec<f64> {
        let rate = 1.0 / (0.25 * self.curvature() + self.pull);
        let mut points = vec![0.0; self.defence.len() + 1];
        let mut ahead = points.clone();
        let mut momentum = 1.0_f64;
        for _ in 0..STEPS {
            let slope = self.slope(&ahead);
            let next: Vec<f64> = ahead.iter().zip(&slope).map(|(point, slope)| point - rate * slope).collect();
            let next = self.allowed(next);
            let gained = f64::midpoint(1.0, (1.0 + 4.0 * momentum * momentum).sqrt());
            let push = (momentum - 1.0) / gained;
            ahead = next.iter().zip(&points).map(|(next, before)| next + push * (next - before)).collect();
            (points, momentum) = (next, gained);
        }
        points
    }

    /// Slope of the objective.
    fn slope(&self, points: &[f64]) -> Vec<f64> {
        let mut slope: Vec<f64> = points.iter().map(|point| self.pull * point).collect();
        if let Some(prior) = slope.first_mut() {
            *prior = 0.0;
        }
        for ((example, weight), active) in self.examples.iter().zip(&self.weights).zip(&self.active) {
            let odds = sum(points, active).clamp(-30.0, 30.0);
            let truth = if example.hostile { 1.0 } else { 0.0 };
            add(&mut slope, active, weight * (1.0 / (1.0 + (-odds).exp()) - truth));
        }
        slope
    }

    /// The greatest eigenvalue of the weighted moments, by power iteration, a little too great rather than too small.
    fn curvature(&self) -> f64 {
        let mut along = vec![1.0; self.defence.len() + 1];
        let mut greatest = 0.0_f64;
        for _ in 0..CURVATURE_STEPS {
            let mut turned = vec![0.0; along.len()];
            for (weight, active) in self.weights.iter().zip(&self.active) {
                add(&mut turned, active, weight * sum(&along, active));
            }
            let norm = turned.iter().map(|x| x * x).sum::<f64>().sqrt();
            greatest = greatest.max(norm / along.iter().map(|x| x * x).sum::<f64>().sqrt());
            along = turned.into_iter().map(|x| x / norm.max(f64::MIN_POSITIVE)).collect();
        }
        greatest * 1.02
    }

    fn allowed(&self, mut points: Vec<f64>) -> Vec<f64> {
        for (point, defence) in points.iter_mut().skip(1).zip(&self.defence) {
            *point = if *defence { point.min(0.0) } else { point.max(0.0) };
        }
        points
    }
}

fn sum(points: &[f64], active: &[usize]) -> f64 {
    active.iter().filter_map(|at| points.get(*at)).sum()
}

fn add(sums: &mut [f64], active: &[usize], value: f64) {
    for at in active {
        if let Some(sum) = sums.get_mut(*at) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests;
