//! The head of the screen: how many clusters, how the service does, how old what is shown is.
//!
//! The first line matters most and stands alone on the smallest screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::keys::Page;
use super::super::sheet::{Tone, to_the_second};
use super::super::view::Service;
use super::{Lines, Panel, Scene, age, put, put_all};
use crate::pipeline::alert::Verdict;

pub(super) const PANEL: Panel = Panel { lines, draw };

/// Lines for what the service says of itself, on the first page.
const WORDS_MAX: u16 = 2;

fn lines(scene: &Scene<'_>) -> Lines {
    let n_words = match &scene.view.service {
        Service::Answered { words, .. } if scene.controls.page == Page::Overview => {
            u16::try_from(words.len()).unwrap_or(u16::MAX).min(WORDS_MAX)
        }
        _ => 0,
    };
    Lines { least: 1, enough: 3, most: 3 + n_words }
}

fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let line = |at: u16| Rect { y: area.y + at, height: 1, ..area };
    clusters(scene, line(0), buffer);
    if area.height > 1 {
        service(scene, line(1), buffer);
    }
    if area.height > 2 {
        store(scene, line(2), buffer);
    }
    if let Service::Answered { ready, words, .. } = &scene.view.service {
        let tone = if *ready { Tone::Plain } else { Tone::Bad };
        for (words, at) in words.iter().zip(3..area.height) {
            put(buffer, line(at), &format!("  {words}"), scene.paint.of(tone));
        }
    }
}

/// `panicsift top: 14 clusters, 2 hostile, 1 open alert`.
fn clusters(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let memory = &scene.view.memory;
    let (n_hostile, n_open) = (memory.n_of(Verdict::Hostile), memory.n_open());
    let alarmed = scene.paint.of(if n_hostile + n_open > 0 { Tone::Bad } else { Tone::Good });
    let head = scene.paint.of(Tone::Head);
    let state = if scene.controls.paused {
        "  PAUSED"
    } else if scene.is_reading {
        "  reading the store…"
    } else {
        ""
    };
    let n_clusters = format!("{}, ", counted(memory.clusters.len(), "cluster"));
    let of_them = format!("{n_hostile} hostile, {}", counted(n_open, "open alert"));
    // Where there is no room for all, what alarms stands before the name of the program.
    if area.width < 60 {
        put_all(buffer, area, &[(&of_them, alarmed), (state, head)]);
    } else {
        put_all(buffer, area, &[("panicsift top: ", head), (&n_clusters, head), (&of_them, alarmed), (state, head)]);
    }
}

fn service(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let plain = scene.paint.of(Tone::Plain);
    match &scene.view.service {
        Service::NotReached { why } => {
            let told: [(&str, Style); 2] = [("service not reached: ", scene.paint.of(Tone::Head)), (why, plain)];
            put_all(buffer, area, &told);
        }
        Service::Answered { ready, lag_records, source, records_per_sec, .. } => {
            let (word, tone) = if *ready { ("ready", Tone::Good) } else { ("NOT READY", Tone::Bad) };
            let lag = lag_records.map_or_else(|| "lag not known".to_owned(), |lag| format!("lag {lag} records"));
            let rate = records_per_sec.map(|rate| format!(", {rate:.0} records/s")).unwrap_or_default();
            put_all(
                buffer,
                area,
                &[("service ", plain), (word, scene.paint.of(tone)), (&format!(", {lag}{rate}, {source}"), plain)],
            );
        }
    }
}

fn store(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let store = &scene.view.store;
    if let Some(fault) = &store.fault {
        let since = store.read_at.map(|at| format!(" (shown as read {} ago)", age(scene.now.since(at))));
        let text = format!("store: {fault}{}", since.unwrap_or_default());
        put(buffer, area, &text, scene.paint.of(Tone::Bad));
        return;
    }
    let newest = scene.view.memory.newest_event.map_or_else(
        || "no event yet".to_owned(),
        |at| match scene.now.since(at) {
            ahead if ahead < 0 => format!("newest event {}, in the future", to_the_second(at)),
            past => format!("newest event {}, {} ago", to_the_second(at), age(past)),
        },
    );
    let read = store.read_at.map_or_else(
        || "not read yet".to_owned(),
        |at| format!("read {} ago in {:.2} s", age(scene.now.since(at)), store.took.as_secs_f64()),
    );
    let unreadable =
        if store.n_unreadable > 0 { format!(", {} rows unreadable", store.n_unreadable) } else { String::new() };
    put(buffer, area, &format!("{newest}; {read}{unreadable}; {}", store.path), scene.paint.of(Tone::Dim));
}

fn counted(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
