//! What a model is worth on what it was not trained on.
//!
//! Each set by a model of the others (the reference may set the threshold, and teaches nothing there), then every
//! campaign by a model of all the others: campaigns are left out by turns, those of one name in all sets together, since
//! a set and its reference may have honest causes in common. Thresholds come from the reference.

use std::io::Write;

use anyhow::Result;

use super::score::Score;
use super::sets::Label;
use super::{BUDGETS, Course, School, fit_lessons};
use crate::pipeline::judge::HostilityModel;

/// Turns in which campaigns are left out.
const TURNS: u64 = 5;

/// Runs and counts the events whose label `counted` accepts.
pub(super) fn score(
    school: &School<'_>,
    course: &Course<'_>,
    model: &HostilityModel,
    counted: impl Fn(&Label) -> bool,
) -> Score {
    let mut score = Score::default();
    score.add(course, &school.run(course, model), counted);
    score.add_days(&course.seen);
    score
}

/// Prints all protocols.
pub(super) fn validate(school: &School<'_>, out: &mut impl Write) -> Result<()> {
    for (at, tested) in school.courses.iter().enumerate().filter(|_| school.courses.len() > 1) {
        let others = || (0..).zip(&school.courses).filter(move |(other, _)| *other != at).map(|(_, course)| course);
        let names: Vec<&str> = others().map(|course| course.name.as_str()).collect();
        writeln!(out, "trained on {}, tested on {}:", names.join(" and "), tested.name)?;
        let fitted = fit_lessons(others(), |_| true)?;
        for budget in BUDGETS {
            let model = school.at_budget(&fitted, "validation", budget);
            let score = score(school, tested, &model, |_| true);
            writeln!(out, "  {budget} a day, from {:.2} points: {score}", f64::from(model.suspect_at) / 100.0)?;
            writeln!(out, "    {}", score.recalls())?;
        }
    }
    let mut scores: Vec<Vec<Score>> = BUDGETS.iter().map(|_| Vec::new()).collect();
    let everything = || school.courses.iter().chain([&school.reference]);
    for turn in 0..TURNS {
        let fitted = fit_lessons(everything(), |campaign| turn_of(campaign) != turn)?;
        for (budget, scores) in BUDGETS.iter().zip(&mut scores) {
            let model = school.at_budget(&fitted, "validation", *budget);
            scores.resize_with(school.courses.len() + 1, Score::default);
            for (course, score) in everything().zip(scores) {
                let past = school.run(course, &model);
                score.add(course, &past, |label| turn_of(&label.campaign) == turn);
            }
        }
    }
    writeln!(out, "campaigns left out by turns, {TURNS} turns:")?;
    for (budget, scores) in BUDGETS.iter().zip(&mut scores) {
        for (course, score) in everything().zip(scores) {
            score.add_days(&course.seen);
            writeln!(out, "  {budget} a day, {}: {score}", course.name)?;
            writeln!(out, "    {}", score.recalls())?;
        }
    }
    Ok(())
}

/// In which turn a campaign is left out: by its name alone, so that those of one name are left out together.
fn turn_of(campaign: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    campaign.bytes().fold(0xCBF2_9CE4_8422_2325, fnv) % TURNS
}
