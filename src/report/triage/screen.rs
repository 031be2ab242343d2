//! The scene on one screen: what is open, the gravest first, each with its evidence and the next step.
//!
//! Pure: takes a [`Scene`], the width and, where it must fit, the height; gives text. On 80 by 24 the two gravest storms are
//! told whole, the others in a line each; what does not fit is counted in the last line.

use super::gather::{Hour, Scene, Situation};
use crate::pipeline::alert::Category;
use crate::pipeline::operations::tally::Counter;
use crate::report::sheet::printable;

/// Situations that are told whole.
const WHOLE_MAX: usize = 2;

/// Ended situations that are told.
const RECENT_MAX: usize = 4;

/// Findings of a situation that is no storm.
const FINDINGS_MAX: usize = 3;

/// The screen; where `lines` is given, no more than so many.
pub(super) fn draw(scene: &Scene, columns: u16, lines: Option<u16>) -> String {
    let width = usize::from(columns.max(40));
    let mut told = Vec::new();
    head(scene, width, &mut told);
    for (rank, situation) in scene.open.iter().enumerate() {
        if rank < WHOLE_MAX {
            whole(situation, width, &mut told);
        } else {
            told.push(cut(&in_brief(situation), width));
        }
    }
    if !scene.recent.is_empty() {
        told.push(String::new());
        told.push(format!("Ended ({}):", scene.recent.len()));
        told.extend(scene.recent.iter().take(RECENT_MAX).map(|one| cut(&format!("  {}", in_brief(one)), width)));
    }
    if let Some(lines) = lines {
        let room = usize::from(lines.max(6)) - 1;
        if told.len() > room {
            let left_out = told.len() - room + 1;
            told.truncate(room - 1);
            told.push(format!("… {left_out} more lines without --watch"));
        }
    }
    lines_of(told)
}

fn lines_of(told: Vec<String>) -> String {
    told.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// A sentence over as many lines as it needs.
pub(super) fn wrapped(text: &str, columns: u16) -> String {
    let mut told = Vec::new();
    wrap("", text, usize::from(columns.max(40)), &mut told);
    lines_of(told)
}

fn head(scene: &Scene, width: usize, told: &mut Vec<String>) {
    let Some(at) = scene.at else {
        told.push("The store holds no events yet: nothing can be said.".to_owned());
        return;
    };
    told.push(cut(&format!("panicsift triage at {at} (event time)"), width));
    if scene.open.is_empty() {
        wrap("", &calm(scene), width, told);
        return;
    }
    let kinds = [
        (Category::Storm, "storm", "storms"),
        (Category::RetryCascade, "retry cascade", "retry cascades"),
        (Category::Rollback, "rollback", "rollbacks"),
        (Category::ErrorBudget, "error budget", "error budgets"),
    ];
    let counts = kinds.map(|(category, one, many)| count(scene.n_open(category), one, many));
    wrap("", &format!("Open: {}; {}", counts.join(", "), hostile(scene)), width, told);
    if let Some(hour) = &scene.hour {
        wrap("", &hour_words(hour), width, told);
    }
}

/// That nothing is going on, with the numbers that say so.
fn calm(scene: &Scene) -> String {
    let hour = scene.hour.as_ref().map(hour_words).unwrap_or_default();
    format!(
        "Nothing is going on: no storm, no retry cascade, no rollback, no error budget is open; {}. {hour}",
        hostile(scene)
    )
}

fn hostile(scene: &Scene) -> String {
    match scene.hostile_clusters {
        0 => "no hostile cluster".to_owned(),
        n => format!("{} (panicsift report list --verdict hostile)", count(n, "hostile cluster", "hostile clusters")),
    }
}

fn hour_words(hour: &Hour) -> String {
    let n = hour.tally.get(Counter::Events);
    let usual = match hour.usual {
        Some(usual) if usual < 9.5 => format!("where {usual:.1} are usual"),
        Some(usual) => format!("where {usual:.0} are usual"),
        None => "and nothing is known of what is usual".to_owned(),
    };
    let handled = match hour.handled() {
        Some(share) => format!("{:.1} % of those that are told of were caught", share * 100.0),
        None => "nobody says which were caught".to_owned(),
    };
    let seen = hour.tally.get(Counter::UserVisible);
    format!(
        "Last hour: {} on {} {usual}; {handled}; {seen} were seen by users as failures.",
        count(n, "panic", "panics"),
        count(hour.routes, "route", "routes"),
    )
}

fn whole(situation: &Situation, width: usize, told: &mut Vec<String>) {
    told.push(String::new());
    let cause = situation.cause().map(|cause| format!("  {}", cause.name().replace('_', " "))).unwrap_or_default();
    let tenant = if situation.tenant.is_empty() { String::new() } else { format!("  tenant {}", situation.tenant) };
    let head = format!(
        "{} {}{cause}{tenant}  since {}",
        situation.severity.name().to_uppercase(),
        situation.name,
        situation.since
    );
    told.push(cut(&head, width));
    wrap("  ", &situation.title, width, told);
    let Some(picture) = &situation.picture else {
        let met = situation.findings.iter().filter(|finding| finding.met).take(FINDINGS_MAX);
        met.for_each(|finding| told.push(cut(&format!("  {}", finding.words), width)));
        return;
    };
    let seen = picture.tally.get(Counter::UserVisible);
    let radius = [
        count(picture.routes.len() as u64, "route", "routes"),
        count(picture.customers(), "customer", "customers"),
        count(picture.regions.len() as u64, "region", "regions"),
        count(picture.isolates(), "isolate", "isolates"),
        format!("{seen} seen by users"),
    ];
    told.push(cut(&format!("  radius   {}", radius.join(", ")), width));
    let scores: Vec<String> =
        picture.ranked().iter().map(|one| format!("{} {:.2}", one.cause.name().replace('_', " "), one.score)).collect();
    told.push(cut(&format!("  causes   {}", scores.join(", ")), width));
    if let Some(first) = picture.ranked().first() {
        wrap("  because  ", &first.words, width, told);
    }
    let changes: Vec<String> =
        picture.changes.iter().map(|change| format!("{} {}", clock(change.at), change.words)).collect();
    let changes = if changes.is_empty() { "nothing that the panics tell of".to_owned() } else { changes.join("; ") };
    told.push(cut(&format!("  changed  {changes}"), width));
    wrap("  next     ", picture.cause().action(), width, told);
}

/// `HIGH storm-… 14:05: title`.
fn in_brief(situation: &Situation) -> String {
    let until = situation.to.map(|to| format!("–{}", clock(to))).unwrap_or_default();
    let cause = situation.cause().map(|cause| format!(" ({})", cause.name().replace('_', " "))).unwrap_or_default();
    let (severity, name) = (situation.severity.name().to_uppercase(), &situation.name);
    let short: String = name.chars().take(SHORT_NAME).collect();
    format!("{severity} {short} {}{until}{cause}: {}", clock(situation.since), situation.title)
}

/// Characters of a name where there is little room: its kind and the first digits.
const SHORT_NAME: usize = 12;

/// Hours and minutes of a time.
fn clock(at: crate::pipeline::event::Millis) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}

fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// One printable line of at most so many characters.
fn cut(line: &str, width: usize) -> String {
    let line = printable(line);
    if line.chars().count() <= width {
        return line;
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Breaks at spaces; lines after the first are indented as far as the first begins.
fn wrap(begin: &str, text: &str, width: usize, told: &mut Vec<String>) {
    let indent = " ".repeat(begin.chars().count());
    let text = printable(text);
    let mut line = begin.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            told.push(std::mem::replace(&mut line, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    told.push(cut(&line, width));
}
