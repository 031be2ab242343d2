//! What a model is worth on what it was not trained on.
//!
//! Each set by a model of the others (the reference may set the threshold, and teaches nothing there), then every
//! campaign by a model of all the others, by turns ([`Turns`]): campaigns, dealt out three times, and whole kinds of
//! campaigns. With hostile campaigns of the tested sets altered ([`Alteration`]), and with samples of ordinary requests
//! where it was without them, or the other way round. Thresholds come from the reference, probabilities from campaigns
//! that neither the weights nor the map of the tested ones saw. Cost, of three sets of 20,000 events each: with all
//! protocols some 250 runs over a set, of a few seconds each, and 30 fits.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::calibrate::{self, Held};
use super::copies::Alteration;
use super::rehearsal::rehearse;
use super::score::Score;
use super::turns::{TURNS, Turns};
use super::{BUDGETS, Course, School, Taught, fit_lessons};
use crate::pipeline::judge::HostilityModel;

/// Seeds of turns and of altered sets.
const SEEDS: u32 = 3;

/// A way to find out what a model is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Protocol {
    /// The model that is started from, as it is, on all sets
    Shipped,
    /// Each set by a model of the others
    Across,
    /// Campaigns left out by turns, dealt out three times
    Campaigns,
    /// Whole kinds of campaigns left out by turns
    Kinds,
    /// Across and campaigns once more, with hostile campaigns thinned, from other addresses, without tokens
    Altered,
    /// Across and campaigns once more, with samples of ordinary requests if it was without them, or the other way round
    Samples,
}

/// Where is told what was found.
pub(super) struct Report<'o, W> {
    out: &'o mut W,
    figures: Vec<Value>,
}

impl<'o, W: Write> Report<'o, W> {
    pub(super) fn new(out: &'o mut W) -> Self {
        Self { out, figures: Vec::new() }
    }

    /// All figures so far, one JSON object a line.
    pub(super) fn figures(&self) -> String {
        self.figures.iter().fold(String::new(), |mut lines, figures| {
            // Writing into a text cannot fail.
            _ = std::fmt::Write::write_fmt(&mut lines, format_args!("{figures}\n"));
            lines
        })
    }

    fn head(&mut self, words: &str) -> Result<()> {
        Ok(writeln!(self.out, "{words}:")?)
    }

    /// Notes the figures of one score.
    fn note(&mut self, protocol: &str, course: &Course<'_>, budget: f64, score: &Score) {
        let mut figures = json!({"protocol": protocol, "tested": course.name, "false_alerts_a_day_asked": budget});
        if let (Some(all), Value::Object(of)) = (figures.as_object_mut(), score.figures()) {
            all.extend(of);
        }
        self.figures.push(figures);
    }

    fn tell(&mut self, what: &str, score: &Score) -> Result<()> {
        writeln!(self.out, "  {what}: {score}")?;
        if score.n_found().1 > 0 {
            writeln!(self.out, "    recall: {}", score.recalls())?;
        }
        Ok(write!(self.out, "{}", score.reliability())?)
    }

    /// Notes the scores of several seeds at the smallest budget, and tells them in one line.
    fn tell_seeds(&mut self, protocol: &str, course: &Course<'_>, scores: &[Score]) -> Result<()> {
        for score in scores {
            self.note(protocol, course, 1.0, score);
        }
        if scores.is_empty() {
            return Ok(());
        }
        self.spread(&format!("1 a day, {}: {protocol}", course.name), scores)
    }

    /// One line for what was found with several seeds: the mean, the least and the greatest.
    fn spread(&mut self, what: &str, scores: &[Score]) -> Result<()> {
        let of = |figure: &dyn Fn(&Score) -> f64| {
            let all: Vec<f64> = scores.iter().map(figure).collect();
            let n = f64::from(u32::try_from(all.len().max(1)).unwrap_or(u32::MAX));
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{:.3} ({least:.3} to {most:.3})", all.iter().sum::<f64>() / n)
        };
        write!(self.out, "  {what}, {} seeds: ", scores.len())?;
        if scores.iter().any(|score| score.n_found().1 > 0) {
            let found: Vec<String> = scores.iter().map(Score::n_found).map(|(n, of)| format!("{n} of {of}")).collect();
            let [precision, recall, f1] = [0, 1, 2].map(|at| of(&|score| score.last().get(at).copied().unwrap_or(0.0)));
            let prompt = of(&|score| score.prompt().last().copied().unwrap_or(0.0));
            write!(self.out, "F1 {f1}, P {precision}, R {recall}, within 120 s {prompt}, ")?;
            write!(self.out, "campaigns {}, ", found.join(", "))?;
        }
        let (false_events, a_day) = (of(&|score| score.false_events().1), of(&Score::false_alerts_a_day));
        Ok(writeln!(self.out, "false events in 10,000 {false_events}, false alerts a day {a_day}")?)
    }
}

/// Runs and counts everything.
fn score(school: &School<'_>, course: &Course<'_>, model: &HostilityModel) -> Score {
    let mut score = Score::default();
    score.add(course, &rehearse(school.context, model, course), |_| true);
    score.add_days(&course.seen);
    score
}

/// Prints what a model is worth on what it was trained on.
pub(super) fn tell_in_sample(
    school: &School<'_>,
    model: &HostilityModel,
    budget: f64,
    report: &mut Report<'_, impl Write>,
) -> Result<()> {
    report.head(&format!("on what it was trained on, {}", from(model, budget)))?;
    for course in school.everything() {
        let score = score(school, course, model);
        report.note("in sample", course, budget, &score);
        report.tell(&course.name, &score)?;
    }
    Ok(())
}

fn from(model: &HostilityModel, budget: f64) -> String {
    format!("{budget} a day, from {:.2} points", f64::from(model.hostile_at) / 100.0)
}

/// Prints what the protocols give.
pub(super) fn validate(school: &School<'_>, chosen: &[Protocol], report: &mut Report<'_, impl Write>) -> Result<()> {
    let is_chosen = |protocol| chosen.contains(&protocol);
    if is_chosen(Protocol::Shipped) {
        shipped(school, report)?;
    }
    let others = is_chosen(Protocol::Samples).then(|| School {
        context: school.context,
        courses: school.courses.iter().map(Course::with_other_samples).collect(),
        reference: school.reference.with_other_samples(),
    });
    // Where there are no samples there is nothing to be heard or left out.
    let others = others.filter(|_| school.everything().iter().any(|c| c.ordinary.len() + c.unheard.len() > 0));
    let trial = Trial { school, other: others.as_ref(), altered: is_chosen(Protocol::Altered) };
    let any = |protocols: [Protocol; 3]| protocols.into_iter().any(is_chosen);
    if any([Protocol::Across, Protocol::Altered, Protocol::Samples]) && school.courses.len() > 1 {
        trial.across(report)?;
    }
    if any([Protocol::Campaigns, Protocol::Altered, Protocol::Samples]) {
        trial.campaigns(report)?;
    }
    if is_chosen(Protocol::Kinds) {
        trial.kinds(report)?;
    }
    Ok(())
}

/// The model that is started from, in force as the settings say.
fn shipped(school: &School<'_>, report: &mut Report<'_, impl Write>) -> Result<()> {
    let model = &school.context.hostility;
    let from = f64::from(model.hostile_at) / 100.0;
    report.head(&format!("model {} as it is, from {from:.2} points", model.version))?;
    for course in school.everything() {
        let score = score(school, course, model);
        report.note("shipped", course, 1.0, &score);
        report.tell(&course.name, &score)?;
    }
    Ok(())
}

/// Scores by budget, and by what else was tested.
#[derive(Default)]
struct Scores {
    by_budget: Vec<Score>,
    /// At the smallest budget.
    altered: Vec<Score>,
    /// With samples, or without.
    other: Option<Score>,
}

/// What protocols are run with.
struct Trial<'s> {
    school: &'s School<'s>,
    /// The same with samples if it is without them, or the other way round.
    other: Option<&'s School<'s>>,
    altered: bool,
}

impl Trial<'_> {
    fn across(&self, report: &mut Report<'_, impl Write>) -> Result<()> {
        for (at, tested) in self.school.courses.iter().enumerate() {
            let others: Vec<&Course<'_>> =
                self.school.courses.iter().zip(0..).filter(|(_, other)| *other != at).map(|(one, _)| one).collect();
            let names: Vec<&str> = others.iter().map(|course| course.name.as_str()).collect();
            let fitted = fit_lessons(&others, |_| true)?;
            let calibration = self.school.calibration(&others);
            let mut taught = self.school.teach(&fitted, calibration, "validation");
            let protocol = format!("trained on {}, tested on {}", names.join(" and "), tested.name);
            report.head(&protocol)?;
            let models = self.school.at_budgets(&mut taught);
            for (budget, model) in BUDGETS.into_iter().zip(&models) {
                let score = score(self.school, tested, model);
                report.note(&protocol, tested, budget, &score);
                report.tell(&from(model, budget), &score)?;
            }
            if let (Some(model), true) = (models.first(), self.altered) {
                for how in Alteration::ALL {
                    let seeds = (0..SEEDS).map(|seed| score(self.school, &tested.altered(how, seed), model));
                    report.tell_seeds(&format!("{protocol}, {}", how.words()), tested, &seeds.collect::<Vec<_>>())?;
                }
            }
            if let Some((other, tested)) = self.other.and_then(|other| Some((other, other.courses.get(at)?))) {
                let mut taught = other.teach(&fitted, calibration, "validation");
                if let Some(model) = other.at_budgets(&mut taught).first() {
                    let score = score(other, tested, model);
                    report.note(&format!("{protocol}, {}", samples(tested)), tested, 1.0, &score);
                    report.tell(&format!("{}, {}", samples(tested), from(model, 1.0)), &score)?;
                }
            }
        }
        Ok(())
    }

    /// Campaigns left out by turns, with several seeds; the first is told whole.
    fn campaigns(&self, report: &mut Report<'_, impl Write>) -> Result<()> {
        let everything = self.school.everything();
        let mut seeds: Vec<Vec<Scores>> = Vec::new();
        for seed in 0..SEEDS {
            let turns = Turns::by_campaign(&everything, u64::from(seed));
            seeds.push(self.left_out(&turns, Some(seed))?);
        }
        report.head(&format!("campaigns left out by turns, {TURNS} turns"))?;
        let of = |at: usize, part: &dyn Fn(&Scores) -> Option<Score>| -> Vec<Score> {
            seeds.iter().filter_map(|seed| part(seed.get(at)?)).collect()
        };
        for (at, course) in everything.iter().enumerate() {
            for (which, budget) in BUDGETS.into_iter().enumerate() {
                let scores = of(at, &|scores| scores.by_budget.get(which).cloned());
                if let Some(first) = scores.first() {
                    report.tell(&format!("{budget} a day, {}", course.name), first)?;
                }
                for score in &scores {
                    report.note("campaigns left out", course, budget, score);
                }
                report.spread(&format!("{budget} a day, {}", course.name), &scores)?;
            }
            for (which, how) in Alteration::ALL.into_iter().enumerate().filter(|_| self.altered) {
                let scores = of(at, &|scores| scores.altered.get(which).cloned());
                report.tell_seeds(&format!("campaigns left out, {}", how.words()), course, &scores)?;
            }
            let scores = of(at, &|scores| scores.other.clone());
            if let (Some(other), false) = (self.other, scores.is_empty()) {
                let tested = other.everything();
                let words = tested.get(at).map_or("", |course| samples(course));
                report.tell_seeds(&format!("campaigns left out, {words}"), course, &scores)?;
            }
        }
        Ok(())
    }

    fn kinds(&self, report: &mut Report<'_, impl Write>) -> Result<()> {
        let everything = self.school.everything();
        let Some(turns) = Turns::by_kind(&everything) else {
            return report.head("whole kinds left out: fewer than two kinds of hostile campaigns are labelled");
        };
        let scores = self.left_out(&turns, None)?;
        report.head(&format!("whole kinds left out by turns, {} turns", turns.n))?;
        for (course, scores) in everything.iter().zip(&scores) {
            for (budget, score) in BUDGETS.iter().zip(&scores.by_budget) {
                report.note("kinds left out", course, *budget, score);
                report.tell(&format!("{budget} a day, {}", course.name), score)?;
            }
        }
        Ok(())
    }

    /// Scores of all sets, each campaign under a model that was taught without the campaigns of its turn. With a `seed`
    /// also of altered sets and of those with other samples, where these are asked for.
    fn left_out(&self, turns: &Turns, seed: Option<u32>) -> Result<Vec<Scores>> {
        let everything = self.school.everything();
        let mut fits = Vec::new();
        for turn in 0..turns.n {
            let fitted = fit_lessons(&everything, |campaign| turns.of(campaign) != Some(turn))?;
            let model = self.school.context.hostility.refit(&fitted, "validation");
            let held = self.school.held(&everything, &model, |campaign| turns.of(campaign) == Some(turn));
            fits.push((fitted, held));
        }
        let mut scores: Vec<Scores> = everything.iter().map(|_| Scores::default()).collect();
        for (turn, (fitted, _)) in (0..).zip(&fits) {
            // Whoever is tested has no part in the map.
            let of_others = (0..).zip(&fits).filter(|(other, _)| *other != turn);
            let held: Vec<&Held> = of_others.flat_map(|(_, (_, held))| held).collect();
            let calibration = calibrate::learn(held.into_iter());
            let is_tested = |campaign: &str| turns.of(campaign) == Some(turn);
            let mut taught = self.school.teach(fitted, calibration, "validation");
            self.turn(&mut taught, &is_tested, seed, &mut scores);
            if let (Some(other), Some(_)) = (self.other, seed) {
                let mut taught = other.teach(fitted, calibration, "validation");
                let models = other.at_budgets(&mut taught);
                for (course, scores) in other.everything().into_iter().zip(&mut scores) {
                    if let Some(model) = models.first() {
                        let came = rehearse(other.context, model, course);
                        scores.other.get_or_insert_default().add(course, &came, |label| is_tested(&label.campaign));
                    }
                }
            }
            tracing::info!(turn = turn + 1, of = turns.n, seed, "a turn is tested");
        }
        for (course, scores) in everything.into_iter().zip(&mut scores) {
            let all = scores.by_budget.iter_mut().chain(&mut scores.altered).chain(&mut scores.other);
            all.for_each(|score| score.add_days(&course.seen));
        }
        Ok(scores)
    }

    fn turn(&self, taught: &mut Taught, is_tested: &dyn Fn(&str) -> bool, seed: Option<u32>, scores: &mut [Scores]) {
        let models = self.school.at_budgets(taught);
        for (course, scores) in self.school.everything().into_iter().zip(scores) {
            let add = |score: &mut Score, model: &HostilityModel, course: &Course<'_>| {
                let came = rehearse(self.school.context, model, course);
                score.add(course, &came, |label| is_tested(&label.campaign));
            };
            scores.by_budget.resize_with(models.len(), Score::default);
            for (model, score) in models.iter().zip(&mut scores.by_budget) {
                add(score, model, course);
            }
            let any_hostile = course.labels.iter().any(|label| label.hostile);
            if let (Some(model), Some(seed), true, true) = (models.first(), seed, self.altered, any_hostile) {
                scores.altered.resize_with(Alteration::ALL.len(), Score::default);
                for (how, score) in Alteration::ALL.into_iter().zip(&mut scores.altered) {
                    add(score, model, &course.altered(how, seed));
                }
            }
        }
    }
}

fn samples(tested: &Course<'_>) -> &'static str {
    if tested.ordinary.is_empty() { "without samples" } else { "with samples" }
}
