//! Weights of evidence from labelled sets: lessons from the judge itself, a fit, and what it is worth on what it did
//! not see.
//!
//! Reads folders with labelled events; gives a model file. Every lesson is what the judge knew at that moment
//! ([`lessons`]): the sets and altered copies of them ([`copies`]) are run through the same record that the service has.
//! Thresholds are set on a set without hostile events, by how many alerts a day the whole pipeline may open there
//! ([`rehearsal`]), never on a set that is tested; probabilities on campaigns that were left out of the fit
//! ([`calibrate`]). Groups, caps and the weights of neighbours are those of the model
//! that it starts from. Nothing is drawn by chance: the same sets give the same model, byte for byte. Cost: some two
//! seconds a copy, as much for each threshold that is tried, and a fit and a run over all sets for each turn in which
//! campaigns are left out.

mod calibrate;
mod copies;
mod protocols;
mod rehearsal;
mod reliability;
mod score;
mod sets;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use self::calibrate::Held;
use self::copies::{Alteration, Copy};
use self::protocols::Report;
use self::rehearsal::rehearse;
use self::score::days;
use self::sets::{Label, Set};
use self::turns::Turns;
use super::judgement::{self, Rhythm};
use crate::config::{AlertSettings, ModelSettings, TableSettings};
use crate::edge::tables::Tables;
use crate::pipeline::Context;
use crate::pipeline::gather::GatherPolicy;
use crate::pipeline::judge::evidence::Facts;
use crate::pipeline::judge::fit::{Example, Fitted, fit};
use crate::pipeline::judge::lessons::{self, Past};
use crate::pipeline::judge::{Calibration, HostilityModel, OperatingPoint};
use crate::pipeline::keys::Keys;
use crate::pipeline::observation::{Actor, ByTime, Observation, OrdinaryRequest};

pub use self::protocols::Protocol;

/// Copies of a set in which campaigns are only thinned.
const COPIES_THINNED: u32 = 3;
/// Copies in which they are dealt out anew, too.
const COPIES_DEALT: u32 = 4;
/// Points, in hundredths, from which nobody is a suspect: lessons come from a judge that trusts everybody.
const NEVER: i32 = 2_000;
/// By how many hundredths of points fewer a sender is a suspect than a hand of suspects is hostile: alone it is watched,
/// and with others who do the same it is told.
const WATCHED: i32 = 150;
/// By how many hundredths of points a suspect must fall below that to be none any more. An honest sender is odd at first
/// and falls deep; many hostile senders together become usual, and fall, too.
const HYSTERESIS: i32 = 100;
/// Thresholds that are tried above what any sender of the reference came to, and hundredths of points between them.
const STEPS_ABOVE: i32 = 12;
const STEP_ABOVE: i32 = 25;
/// Budgets of false alerts a day that a model has operating points for, rising.
const BUDGETS: [f64; 3] = [1.0, 3.0, 10.0];

/// What a training reads and writes.
#[derive(Debug, Default)]
pub struct TrainOptions {
    /// Folders of labelled sets.
    pub sets: Vec<PathBuf>,
    /// Folder of a set without hostile events: the threshold is set on it.
    pub reference: PathBuf,
    /// Samples of ordinary requests that lie in the folders are left out.
    pub without_samples: bool,
    /// Protocols by which is printed what models are worth on what they were not trained on.
    pub validate: Vec<Protocol>,
    /// Where to write the figures of these, one JSON object a line.
    pub figures: Option<PathBuf>,
    /// Where to write the model.
    pub out: Option<PathBuf>,
    /// Version of the model that is written.
    pub version: String,
    /// Address tables.
    pub tables: TableSettings,
    /// Models.
    pub models: ModelSettings,
}

/// Learns a model; tells on `out` what it is worth.
///
/// # Errors
/// A set that cannot be read or lacks labels, a reference with hostile events, sets without both kinds, a file that
/// cannot be written.
pub async fn train(options: TrainOptions, out: &mut impl Write) -> Result<()> {
    let (tables, faults) = Tables::open(options.tables.asn.as_deref(), options.tables.country.as_deref());
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    let rhythm = Rhythm { gathering: GatherPolicy::FILES, ..Rhythm::default() };
    let keys = Keys::derive(super::replay::REPLAY_SECRET);
    let context = judgement::context(keys, tables, &options.models, &rhythm, &AlertSettings::default())?;
    let (mut sets, with_samples) = (Vec::new(), !options.without_samples);
    for folder in options.sets.iter().chain([&options.reference]) {
        sets.push(Set::read(folder, with_samples || options.validate.contains(&Protocol::Samples)).await?);
    }
    let courses = sets.iter().map(|set| Course::of(set, &context, with_samples));
    let mut courses = courses.collect::<Result<Vec<_>>>()?;
    let reference = courses.pop().context("there is no reference")?;
    if reference.labels.iter().any(|label| label.hostile) {
        bail!("{}: the reference has hostile events, and a threshold is set by false alarms", reference.name);
    }
    let school = School { context: &context, courses, reference };
    let any = |hostile: bool| school.courses.iter().flat_map(|c| &c.labels).any(|label| label.hostile == hostile);
    if !any(true) || !any(false) {
        bail!("{}: hostile and honest events are needed, both", names(&options.sets).join(" and "));
    }
    let mut report = Report::new(out);
    protocols::validate(&school, &options.validate, &mut report)?;
    let model = school.model(&options, &mut report)?;
    let write = |path: &PathBuf, text: String| fs::write(path, text).with_context(|| path.display().to_string());
    if let Some(path) = &options.figures {
        write(path, report.figures())?;
    }
    if let Some(path) = &options.out {
        write(path, model.text(&header(&options)))?;
    }
    Ok(())
}

/// Names of folders.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folders.iter().map(name).collect()
}

fn header(options: &TrainOptions) -> String {
    let sets = names(&options.sets);
    let reference = names(std::slice::from_ref(&options.reference)).concat();
    let without = if options.without_samples { " --without-samples" } else { "" };
    format!(
        "Weights of evidence: what the judge makes of what a sender does. Points are natural log odds, kept to hundredths.

Made by
  panicsift train {} --reference {reference} --model-version {}{without} --out FILE
Prior, cuts and points are from the sets and altered copies of them, operating points from the reference, the calibration
from campaigns that were left out by turns. Not learned: groups, caps, company, neighbours (of the model that it started
from), that a hand is hostile 1.5 points above a suspect, and that evidence only speaks for hostile and the defence
against it.
`panicsift train --validate` tells what such a model is worth on sets that it was not trained on.

A bin's points count from its cut on and add up: a value beyond the second cut has the points of both. The points of a
group are cut at its cap, both ways; what is cut off is a line of its own (`cap_...`). Points 0: looked at, shown, not
believed yet.",
        sets.join(" "),
        options.version
    )
}

/// A set and what is learned from it.
#[derive(Default)]
struct Course<'s> {
    name: String,
    seen: Vec<Observation<'s>>,
    /// The samples of ordinary requests that are heard with it, in the order of time.
    ordinary: Vec<OrdinaryRequest>,
    /// Those that are not, though they lie in the folder.
    unheard: Vec<OrdinaryRequest>,
    labels: Vec<&'s Label>,
    lessons: Vec<Lesson>,
}

/// One sender at the end of a run.
struct Lesson {
    /// The campaign that most of its events are of.
    campaign: String,
    /// The run that it is of.
    copy: u32,
    n_events: u32,
    /// Its points under the model of the run.
    points: f64,
    example: Example,
}

impl<'s> Course<'s> {
    fn of(set: &'s Set, context: &Context, with_samples: bool) -> Result<Self> {
        let (seen, labels) = set.observations(context)?;
        let trusting = context.hostility.at(NEVER, NEVER, NEVER);
        let (ordinary, unheard) = match (set.ordinary(context), with_samples) {
            (ordinary, true) => (ordinary, Vec::new()),
            (unheard, false) => (Vec::new(), unheard),
        };
        let run = |seen: &[Observation<'_>], ordinary: &[OrdinaryRequest]| {
            lessons::run(seen, ByTime::of(ordinary), &trusting, context.clustering.epoch_secs)
        };
        let mut lessons = lessons_of(0, &run(&seen, &ordinary), &labels);
        let any_hostile = labels.iter().any(|label| label.hostile);
        let n_copies = if any_hostile { COPIES_THINNED + COPIES_DEALT } else { 0 };
        for number in 1..=n_copies {
            let copy = Copy { number, dealt: number > COPIES_THINNED };
            let (seen, labels) = copies::copy(&seen, &labels, copy);
            // Senders of a dealt copy are not those of the samples.
            let ordinary = if copy.dealt { &[][..] } else { &ordinary };
            lessons.extend(lessons_of(number, &run(&seen, ordinary), &labels));
        }
        let (events, samples) = (seen.len(), ordinary.len());
        tracing::info!(set = set.name, events, samples, lessons = lessons.len(), "the set is read");
        Ok(Self { name: set.name.clone(), seen, ordinary, unheard, labels, lessons })
    }

    /// The same set to test on, its hostile campaigns altered.
    fn altered(&self, how: Alteration, number: u32) -> Self {
        let (seen, labels) = copies::alter(&self.seen, &self.labels, how, number);
        Self { name: self.name.clone(), seen, labels, ordinary: self.ordinary.clone(), ..Self::default() }
    }

    /// The same set to test on, with its samples if it was without them, or the other way round.
    fn with_other_samples(&self) -> Self {
        Self {
            name: self.name.clone(),
            seen: self.seen.clone(),
            ordinary: self.unheard.clone(),
            unheard: self.ordinary.clone(),
            labels: self.labels.clone(),
            lessons: Vec::new(),
        }
    }
}

/// What is true of one sender.
#[derive(Default)]
struct Sender<'l> {
    facts: Facts,
    centipoints: i32,
    campaigns: BTreeMap<&'l str, u32>,
    n_hostile: u32,
    authorised: bool,
}

/// The last lesson of each sender. Who sent events of an authorised test teaches nothing.
///
/// Lessons of younger moments as well were tried: an honest sender is odd at first. What many events weigh then counts for
/// less, and a fuzzer with an account of its own, or one that sends each request twice, is not found any more.
fn lessons_of(copy: u32, past: &Past, labels: &[&Label]) -> Vec<Lesson> {
    let mut senders: BTreeMap<Actor, Sender<'_>> = BTreeMap::new();
    for lesson in &past.lessons {
        let sender = senders.entry(lesson.actor).or_default();
        (sender.facts, sender.centipoints) = (lesson.facts, lesson.centipoints);
        for label in lesson.events.iter().filter_map(|at| labels.get(*at)) {
            *sender.campaigns.entry(&label.campaign).or_default() += 1;
            sender.n_hostile += u32::from(label.hostile);
            sender.authorised |= label.authorised;
        }
    }
    let lesson = |sender: Sender<'_>| {
        let n_events: u32 = sender.campaigns.values().sum();
        let campaign = sender.campaigns.iter().max_by_key(|(_, n)| **n).map(|(name, _)| (*name).to_owned())?;
        let example = Example { facts: sender.facts, hostile: 2 * sender.n_hostile > n_events, weight: 1.0 };
        let points = f64::from(sender.centipoints) / 100.0;
        (!sender.authorised).then_some(Lesson { campaign, copy, n_events, points, example })
    };
    senders.into_values().filter_map(lesson).collect()
}

/// Fits on the lessons of some courses, without campaigns that `keep` denies.
fn fit_lessons(courses: &[&Course<'_>], keep: impl Fn(&str) -> bool) -> Result<Fitted> {
    let mut examples = Vec::new();
    let mut hostile: BTreeSet<&str> = BTreeSet::new();
    for course in courses {
        // A sender counts with the root of its events, a campaign with the root of what its senders count: neither
        // a flood of events nor one of addresses may be all that is learned from.
        let weight = |lesson: &Lesson| f64::from(lesson.n_events).sqrt();
        let mut campaigns: BTreeMap<(u32, &str), f64> = BTreeMap::new();
        for lesson in &course.lessons {
            *campaigns.entry((lesson.copy, &lesson.campaign)).or_default() += weight(lesson);
        }
        for lesson in course.lessons.iter().filter(|lesson| keep(&lesson.campaign)) {
            let campaign = campaigns.get(&(lesson.copy, lesson.campaign.as_str())).copied().unwrap_or(1.0);
            let weight = weight(lesson) / campaign.sqrt();
            examples.push(Example { weight, ..lesson.example.clone() });
            hostile.extend(lesson.example.hostile.then_some(lesson.campaign.as_str()));
        }
    }
    fit(&examples, hostile.len()).context("what is learned from needs hostile and honest events, both")
}

/// Hands of suspects are hostile in `model` from `hostile_at` on.
fn at(model: &HostilityModel, hostile_at: i32) -> HostilityModel {
    let suspect_at = hostile_at - WATCHED;
    model.at(suspect_at, suspect_at - HYSTERESIS, hostile_at)
}

/// A model whose threshold is to be found.
struct Taught {
    model: HostilityModel,
    /// Thresholds that make a difference on the reference, falling.
    candidates: Vec<i32>,
    /// Alerts there by threshold, where that was tried.
    n_alerts: BTreeMap<i32, usize>,
}

/// All courses, and the reference.
struct School<'s> {
    context: &'s Context,
    courses: Vec<Course<'s>>,
    reference: Course<'s>,
}

impl School<'_> {
    /// All sets that are learned from: the reference is one of them.
    fn everything(&self) -> Vec<&Course<'_>> {
        self.courses.iter().chain([&self.reference]).collect()
    }

    /// What senders of a course come to under a model that trusts everybody.
    fn run(&self, course: &Course<'_>, model: &HostilityModel) -> Past {
        let trusting = model.at(NEVER, NEVER, NEVER);
        lessons::run(&course.seen, ByTime::of(&course.ordinary), &trusting, self.context.clustering.epoch_secs)
    }

    /// Senders of the campaigns that `counts` accepts, with their points under a model that was fitted without these.
    fn held(&self, courses: &[&Course<'_>], model: &HostilityModel, counts: impl Fn(&str) -> bool) -> Vec<Held> {
        let lessons = courses.iter().flat_map(|course| lessons_of(0, &self.run(course, model), &course.labels));
        let held = |lesson: Lesson| {
            let Lesson { campaign, n_events, points, example: Example { hostile, .. }, .. } = lesson;
            Held { campaign, hostile, n_events, points }
        };
        lessons.filter(|lesson| counts(&lesson.campaign)).map(held).collect()
    }

    /// The map of points to probabilities for a model that is fitted on these courses, from turns in which campaigns are
    /// left out; `None` where too few campaigns are there to leave some out.
    fn calibration(&self, courses: &[&Course<'_>]) -> Option<Calibration> {
        let turns = Turns::by_campaign(courses, 0);
        let held = (0..turns.n).filter_map(|turn| {
            let fitted = fit_lessons(courses, |campaign| turns.of(campaign) != Some(turn)).ok()?;
            let model = self.context.hostility.refit(&fitted, "left out");
            Some(self.held(courses, &model, |campaign| turns.of(campaign) == Some(turn)))
        });
        let held: Vec<Held> = held.flatten().collect();
        calibrate::learn(held.iter())
    }

    /// The model of what was fitted, and what senders of the reference come to under it.
    fn teach(&self, fitted: &Fitted, calibration: Option<Calibration>, version: &str) -> Taught {
        let model = self.context.hostility.refit(fitted, version);
        let model = calibration.map_or(model.clone(), |calibration| model.with_calibration(calibration));
        let past = self.run(&self.reference, &model);
        let mut highest: BTreeMap<Actor, i32> = BTreeMap::new();
        for lesson in past.lessons.iter().filter(|lesson| lesson.habit) {
            let points = highest.entry(lesson.actor).or_insert(i32::MIN);
            *points = (*points).max(lesson.centipoints);
        }
        // From one hundredth more on, that sender is no suspect. A sender may come to more between its events, when its
        // neighbours change, and where suspects are no witnesses: hence some thresholds above all of these.
        let mut candidates: BTreeSet<i32> = highest.into_values().map(|points| (points + 1).max(0)).collect();
        let greatest = candidates.last().copied().unwrap_or(0);
        candidates.extend((1..=STEPS_ABOVE).map(|step| greatest + step * STEP_ABOVE));
        Taught { model, candidates: candidates.into_iter().rev().collect(), n_alerts: BTreeMap::new() }
    }

    /// The model that was taught, at each of [`BUDGETS`]: from as few points on as give at most so many alerts a day on the
    /// reference. What one budget bears the next one bears, so that none has a higher threshold than a smaller one.
    fn at_budgets(&self, taught: &mut Taught) -> Vec<HostilityModel> {
        let mut good = 0;
        let mut point = |budget: f64| {
            good = self.search(taught, budget, good);
            let last = good.checked_sub(1).and_then(|last| taught.candidates.get(last));
            at(&taught.model, last.copied().unwrap_or(NEVER))
        };
        BUDGETS.map(&mut point).into()
    }

    /// How many candidates, from the greatest down, give at most `budget` alerts a day on the reference; the first `good`
    /// are known to.
    ///
    /// They are searched in steps that double, then by halves, as if fewer points could only give more alerts; where that
    /// is not so, the threshold that is found bears the budget all the same. (Not by halves from the start: a run in which
    /// half of all senders are suspects costs many times one with a few.)
    fn search(&self, taught: &mut Taught, budget: f64, mut good: usize) -> usize {
        // Half an alert more is a matter of how long the reference is.
        let n_allowed = budget * days(&self.reference.seen) + 0.5;
        let mut bears = |candidate: usize| {
            let Some(points) = taught.candidates.get(candidate).copied() else { return false };
            let n_alerts = *taught
                .n_alerts
                .entry(points)
                .or_insert_with(|| rehearse(self.context, &at(&taught.model, points), &self.reference).burden());
            f64::from(u32::try_from(n_alerts).unwrap_or(u32::MAX)) < n_allowed
        };
        // Candidates before `good` bear the budget, the one at `bad` does not, or there is none.
        let mut step = 1;
        while bears(good + step - 1) {
            good += step;
            step *= 2;
        }
        let mut bad = good + step - 1;
        while good < bad {
            let middle = usize::midpoint(good, bad);
            if bears(middle) {
                good = middle + 1;
            } else {
                bad = middle;
            }
        }
        good
    }

    fn model(&self, options: &TrainOptions, report: &mut Report<impl Write>) -> Result<HostilityModel> {
        let everything = self.everything();
        let fitted = fit_lessons(&everything, |_| true)?;
        let calibration = self.calibration(&everything);
        if calibration.is_none() {
            tracing::warn!("too few campaigns to learn probabilities from; the map of the model to start from stays");
        }
        let mut taught = self.teach(&fitted, calibration, &options.version);
        let models = self.at_budgets(&mut taught);
        for (budget, model) in BUDGETS.into_iter().zip(&models) {
            protocols::tell_in_sample(self, model, budget, report)?;
        }
        let point = |(false_alerts_a_day, model): (f64, &HostilityModel)| OperatingPoint {
            false_alerts_a_day,
            suspect_at: model.suspect_at,
            clear_at: model.clear_at,
            hostile_at: model.hostile_at,
        };
        Ok(taught.model.with_operating_points(BUDGETS.into_iter().zip(&models).map(point).collect()))
    }
}
