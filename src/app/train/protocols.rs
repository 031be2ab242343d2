//! What a model is worth on what it was not trained on.
//!
//! Each set by a model of the others (the reference may set the threshold, and teaches nothing there), then every
//! campaign by a model of all the others: campaigns are left out by turns, those of one name in all sets together, since
//! a set and its reference may have honest causes in common. Thresholds come from the reference.

use std::io::Write;

use anyhow::Result;

use super::rehearsal::rehearse;
use super::score::Score;
use super::{BUDGETS, Course, School, fit_lessons};
use crate::pipeline::judge::HostilityModel;

/// Turns in which campaigns are left out.
const TURNS: u64 = 5;

/// Runs and counts the events whose label `counted` accepts.
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
    out: &mut impl Write,
) -> Result<()> {
    writeln!(out, "on what it was trained on, {}:", from(model, budget))?;
    for course in school.courses.iter().chain([&school.reference]) {
        writeln!(out, "  {}: {}", course.name, score(school, course, model))?;
    }
    Ok(())
}

fn from(model: &HostilityModel, budget: f64) -> String {
    format!("{budget} a day, from {:.2} points", f64::from(model.suspect_at) / 100.0)
}

/// Prints all protocols.
pub(super) fn validate(school: &School<'_>, out: &mut impl Write) -> Result<()> {
    for (at, tested) in school.courses.iter().enumerate().filter(|_| school.courses.len() > 1) {
        let others = || (0..).zip(&school.courses).filter(move |(other, _)| *other != at).map(|(_, course)| course);
        let names: Vec<&str> = others().map(|course| course.name.as_str()).collect();
        writeln!(out, "trained on {}, tested on {}:", names.join(" and "), tested.name)?;
        let mut taught = school.teach(&fit_lessons(others(), |_| true)?, "validation");
        for (budget, model) in BUDGETS.into_iter().zip(school.at_budgets(&mut taught)) {
            tell(&from(&model, budget), &score(school, tested, &model), out)?;
        }
    }
    let mut scores: Vec<Vec<Score>> = BUDGETS.iter().map(|_| Vec::new()).collect();
    let everything = || school.courses.iter().chain([&school.reference]);
    for turn in 0..TURNS {
        let fitted = fit_lessons(everything(), |campaign| turn_of(campaign) != turn)?;
        let mut taught = school.teach(&fitted, "validation");
        for (model, scores) in school.at_budgets(&mut taught).into_iter().zip(&mut scores) {
            scores.resize_with(school.courses.len() + 1, Score::default);
            for (course, score) in everything().zip(scores) {
                let came = rehearse(school.context, &model, course);
                score.add(course, &came, |label| turn_of(&label.campaign) == turn);
            }
        }
    }
    writeln!(out, "campaigns left out by turns, {TURNS} turns:")?;
    for (budget, scores) in BUDGETS.iter().zip(&mut scores) {
        for (course, score) in everything().zip(scores) {
            score.add_days(&course.seen);
            tell(&format!("{budget} a day, {}", course.name), score, out)?;
        }
    }
    Ok(())
}

fn tell(what: &str, score: &Score, out: &mut impl Write) -> Result<()> {
    writeln!(out, "  {what}: {score}")?;
    if score.n_found().1 > 0 {
        writeln!(out, "    recall: {}", score.recalls())?;
    }
    writeln!(out, "    probabilities: {}", score.reliability())?;
    Ok(())
}

/// In which turn a campaign is left out: by its name alone, so that those of one name are left out together.
fn turn_of(campaign: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    campaign.bytes().fold(0xCBF2_9CE4_8422_2325, fnv) % TURNS
}
