//! The first and the last words of a post-mortem: what happened, what was hostile, and what the page rests on.

use super::super::document::{Section, Table, Value, Words, percent, reckoned, times};
use super::super::lives::{Begun, median, median_words};
use super::super::scope::{Exposure, Scope, compare, events};
use super::clusters::{Seen, Stretches, Turn};
use super::figures::{handled, success};
use super::{Question, minute, timeline};
use crate::pipeline::alert::{Category, Verdict};
use crate::pipeline::operations::interval::share;
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::sightings::Reckoning;

/// New or grown clusters that the summary names.
const NAMED_MAX: usize = 3;

/// Hostile clusters that are told.
const HOSTILE_MAX: usize = 20;

/// What the summary is made of.
pub(super) struct Facts<'f> {
    pub(super) timeline: &'f timeline::Facts<'f>,
    pub(super) begun: &'f [Begun],
    pub(super) bursts: &'f [timeline::Burst],
    pub(super) total: &'f Tally,
}

/// The summary: a few lines that a person reads first.
pub(super) fn section(scope: &Scope<'_>, facts: &Facts<'_>) -> Section {
    let mut section = Section::new("summary", "Summary");
    let mut items = vec![panics(scope, facts)];
    items.push(outcome(facts.total));
    items.extend(facts.bursts.iter().map(|burst| {
        let (n, at) = burst.peak;
        let span = format!("{} to {}", minute(burst.from), minute(burst.to));
        Words::default().name(&burst.service).say(format!(
            " grew from {span}: {n} events in the page from {}, where {:.1} were usual.",
            minute(at),
            burst.expected
        ))
    }));
    items.extend(facts.timeline.releases.iter().filter(|release| release.is_new).map(|release| {
        let first = release.first.map(minute).unwrap_or_default();
        let words = Words::new("Release ").name(&release.name).say(" of ").name(&release.service);
        let words = words.say(format!(" was first seen in the page from {first}: {} events", events(&release.tally)));
        match &release.ratio {
            Some(ratio) => words.say(format!(", {} as many per request as the other releases.", times(ratio))),
            None => words.say("."),
        }
    }));
    items.extend(turned(facts.timeline.seen));
    items.push(alerted(facts));
    section.list(items);
    section
}

fn panics(scope: &Scope<'_>, facts: &Facts<'_>) -> Words {
    let (_, exposure) = &facts.timeline.stretches.now;
    let n = events(facts.total);
    let mut words = format!("{n} panics, {} of them user-visible failures", facts.total.get(Counter::UserVisible));
    if exposure.requests > 0 {
        words.push_str(&format!(", in {} requests", exposure.requests));
    }
    let Some((before, exposure_before)) = &facts.timeline.stretches.before else {
        return Words::new(format!("{words}. There is no baseline to compare with."));
    };
    let n_before = events(&scope.total(*before));
    let (ratio, per) = compare(n, exposure, n_before, exposure_before);
    let ratio = ratio.map_or_else(|| "no ratio can be told".to_owned(), |ratio| times(&ratio));
    Words::new(format!("{words}; {n_before} panics in the baseline: {ratio} the rate ({}).", per.words()))
}

fn outcome(total: &Tally) -> Words {
    let told = |share: Option<_>| share.map_or_else(|| "not told".to_owned(), |share| percent(&share));
    Words::new(format!(
        "Handled: {}; recovered with a proper answer: {}; ended a process or isolate: {}.",
        told(handled(total)),
        told(success(total)),
        total.get(Counter::Aborted) + total.get(Counter::SuspectedAbort),
    ))
}

fn turned(seen: &[Seen]) -> Vec<Words> {
    let mut items = Vec::new();
    let turned = seen.iter().filter(|seen| matches!(seen.turn, Turn::New | Turn::Grown(_)));
    for one in turned.take(NAMED_MAX) {
        let kind = if one.turn == Turn::New { "New" } else { "Grown" };
        let before = match one.turn {
            Turn::Grown(_) => format!(" after {} in the baseline", reckoned(one.before)),
            _ => String::new(),
        };
        let words = Words::new(format!("{kind}: cluster {} with {} events{before}, ", one.id, reckoned(one.now)));
        items.push(words.with(one.place.words()).say(format!("; held for {}.", one.verdict.name())));
    }
    items
}

fn alerted(facts: &Facts<'_>) -> Words {
    let n = |category: fn(Category) -> bool| facts.begun.iter().filter(|one| category(one.category)).count();
    let n_hostile = n(|category| category == Category::HostileInput);
    let n_operations = n(|category| category != Category::HostileInput);
    let detection =
        median(facts.begun.iter().filter(|one| one.category == Category::HostileInput).map(Begun::detection));
    let detection =
        if n_hostile > 0 { format!("; time to detect: {}", median_words(&detection)) } else { String::new() };
    let n_alerts = facts.timeline.sent.len();
    let words = if n_alerts == 0 { "No alert was told".to_owned() } else { format!("{n_alerts} alerts were told") };
    Words::new(format!(
        "{words}: {n_hostile} hostile clusters and {n_operations} operations situations were opened{detection}."
    ))
}

/// The section on what was hostile.
pub(super) fn hostile(seen: &[Seen], total: &Tally) -> Section {
    let mut section = Section::new("hostile", "What was hostile");
    let hostile: Vec<&Seen> =
        seen.iter().filter(|seen| seen.verdict == Verdict::Hostile && seen.now.high > 0).collect();
    let sum = hostile.iter().fold(Reckoning::default(), |sum, seen| sum + seen.now);
    let n = events(total);
    if hostile.is_empty() {
        section.say("No cluster with events in the period is held for hostile.");
    } else {
        let share =
            |k: u64| share(k, n).map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share.estimate * 100.0));
        let shares = match sum.exact() {
            Some(k) => share(k),
            None => format!("{} to {}", share(sum.low), share(sum.high)),
        };
        section.say(format!(
            "{} clusters with events in the period are held for hostile now; they hold {} of {n} events ({shares}).",
            hostile.len(),
            reckoned(sum)
        ));
    }
    let (counted, announced) = (total.get(Counter::BurnHostile), total.get(Counter::BurnAnnounced));
    section.say(format!(
        "{counted} events were held for hostile when they came (the others of these clusters came before the verdict); \
         {announced} were part of an announced test."
    ));
    let mut table = Table::new(
        "hostile",
        &[
            ("cluster", "cluster"),
            ("events", "events"),
            ("first_event", "first event"),
            ("last_event", "last event"),
            ("place", "where"),
        ],
    );
    for one in hostile.iter().take(HOSTILE_MAX) {
        table.push(vec![
            Value::words(one.id.as_str()),
            Value::Reckoned(one.now),
            Value::Time(one.ever.first),
            Value::Time(one.ever.last),
            Value::Words(one.place.words()),
        ]);
    }
    section.table(table);
    section
}

/// What the page rests on.
pub(super) fn basis(scope: &Scope<'_>, stretches: &Stretches, question: &Question) -> Section {
    let mut section = Section::new("basis", "What this page rests on");
    let (span, exposure) = &stretches.now;
    let (first, last) = scope.extent();
    section.say(format!(
        "The period is told in whole pages of {}: {} to {}. The store knows of {first} to {last}.",
        span.tier.words(),
        span.from,
        span.to
    ));
    match &stretches.before {
        Some((before, exposure)) => {
            let how = if question.baseline.is_some() { "as asked" } else { "the stretch before the period" };
            section.say(format!(
                "Baseline ({how}), in whole pages of {}: {} to {}. {}",
                before.tier.words(),
                before.from,
                before.to,
                denominator(exposure)
            ));
        }
        None => {
            section.say("There is no baseline: none was asked for, and the store holds no events before the period.")
        }
    }
    section.say(format!("Of the period: {}", denominator(exposure)));
    section.say(
        "Event times throughout, but for the answers of destinations. Verdicts are those of now. Clusters that were \
         forgotten or merged are told by their alerts alone.",
    );
    section
}

fn denominator(exposure: &Exposure) -> String {
    match (exposure.requests, exposure.gaps) {
        (0, _) => "no traffic feed tells its requests, so there are no rates per request.".to_owned(),
        (requests, 0) => format!("{requests} requests, told by a traffic feed for every page with panics."),
        (requests, gaps) => format!(
            "{requests} requests are told, but none for a service with panics in {gaps} pages: too few for rates."
        ),
    }
}
