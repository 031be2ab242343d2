//! The first and the last words of a post-mortem: what happened, what was hostile, and what the page rests on.

use super::super::document::{Section, Table, Value, Words, percent, plural, reckoned, times};
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
            " grew to three times its usual number and more from {span}: {n} events in the page from {}, where {:.1} were \
             usual.",
            minute(at),
            burst.expected
        ))
    }));
    items.extend(facts.timeline.releases.iter().filter(|release| release.is_new).map(|release| {
        let first = release.first.map(minute).unwrap_or_default();
        let words = Words::new("Release ").name(&release.name).say(" of ").name(&release.service);
        let words = words.say(format!(" was first seen in the page from {first}: {} events", events(&release.tally)));
        let words = match &release.ratio {
            Some(ratio) => words.say(format!(", {} as many per request as the other releases", times(ratio))),
            None => words,
        };
        match &release.top_route {
            Some(top) => words
                .say("; most on ")
                .name(&top.route)
                .say(format!(": {}, after {} on this route in the baseline (all releases).", top.now, top.before)),
            None => words.say("."),
        }
    }));
    items.extend(turned(facts.timeline.seen, events(facts.total)));
    let incidents = facts.total.get(Counter::PoisoningIncidents);
    if incidents > 0 {
        items.push(Words::new(format!(
            "{} left poisoned by a panic that was survived, and {} failed on them.",
            plural(incidents, "isolate"),
            plural(facts.total.get(Counter::Poisoned), "later request")
        )));
    }
    items.push(alerted(facts));
    section.list(items);
    section
}

fn panics(scope: &Scope<'_>, facts: &Facts<'_>) -> Words {
    let (_, exposure) = &facts.timeline.stretches.now;
    let n = events(facts.total);
    let visible = facts.total.get(Counter::UserVisible);
    let requests = if exposure.requests > 0 { format!(", in {} requests", exposure.requests) } else { String::new() };
    let words = format!("{n} panics, {visible} of them user-visible failures{requests}");
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

fn turned(seen: &[Seen], n_events: u64) -> Vec<Words> {
    let mut items = Vec::new();
    for one in seen.iter().filter(|seen| seen.matters(n_events)).take(NAMED_MAX) {
        let kind = if one.turn == Turn::New { "New" } else { "Grown" };
        let before = match one.turn {
            Turn::Grown(_) => format!(" after {} in the baseline", reckoned(one.before)),
            _ => String::new(),
        };
        let share = share(one.now.low, n_events).map_or(0.0, |share| share.estimate * 100.0);
        let now = reckoned(one.now);
        let words = Words::new(format!("{kind}: cluster {} with {now} events ({share:.1} % of all){before}, ", one.id));
        items.push(words.with(one.place.words()).say(format!("; held for {}.", one.verdict.name())));
    }
    items
}

fn alerted(facts: &Facts<'_>) -> Words {
    let n = |category: fn(Category) -> bool| facts.begun.iter().filter(|one| category(one.category)).count() as u64;
    let n_hostile = n(|category| category == Category::HostileInput);
    let n_operations = n(|category| category != Category::HostileInput);
    let detection =
        median(facts.begun.iter().filter(|one| one.category == Category::HostileInput).map(Begun::detection));
    let detection =
        if n_hostile > 0 { format!("; time to detect: {}", median_words(&detection)) } else { String::new() };
    let n_alerts = facts.timeline.sent.len() as u64;
    if n_alerts == 0 {
        return Words::new("No alert was told.");
    }
    Words::new(format!(
        "{} told; opened: {} and {}{detection}.",
        plural(n_alerts, "alert"),
        plural(n_hostile, "hostile cluster"),
        plural(n_operations, "operations situation")
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
            "{} with events in the period held for hostile now, with {} of {n} events ({shares}).",
            plural(hostile.len() as u64, "cluster"),
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
            section.say("There is no baseline: none was asked for, and the store holds no events before the period.");
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
        (0, _) => "No traffic feed tells its requests, so there are no rates per request.".to_owned(),
        (requests, 0) => format!("{requests} requests, told by a traffic feed for every page with panics."),
        (requests, gaps) => format!(
            "{requests} requests are told, but none for a service with panics in {gaps} pages: too few for rates."
        ),
    }
}
