//! What operations are alerted on and is not over: storms, retry cascades, rollbacks, error budgets.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::sheet::Tone;
use super::super::view::Situation;
use super::{Column, Lines, Panel, Scene, age, put, put_row, title};
use crate::pipeline::alert::Severity;

pub(super) const PANEL: Panel = Panel { lines, draw };

/// Situations that are shown; the title says how many there are.
const SHOWN_MAX: usize = 4;

/// What each is told by. Without a head: the words say what they are.
const COLUMNS: [Column; 4] = [
    Column { name: "category", width: 13, is_number: false },
    Column { name: "severity", width: 8, is_number: false },
    Column { name: "for", width: 6, is_number: true },
    Column { name: "what", width: 0, is_number: false },
];

fn lines(scene: &Scene<'_>) -> Lines {
    let n = u16::try_from(scene.view.memory.situations.len().clamp(1, SHOWN_MAX)).unwrap_or(1);
    Lines { least: 0, enough: 1 + n, most: 1 + n }
}

fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let all = &scene.view.memory.situations;
    let n_rows = usize::from(area.height.saturating_sub(1));
    let more = if all.len() > n_rows { format!("{n_rows} of {}", all.len()) } else { String::new() };
    title(area, buffer, "storms, cascades, rollbacks, budgets", &more);
    let line = |at: u16| Rect { y: area.y.saturating_add(at), height: 1, ..area };
    if all.is_empty() && area.height > 1 {
        let read = scene.view.store.read_at.is_some();
        let words =
            if read { "none is open; panicsift triage tells what is over" } else { "the store was not read yet" };
        put(buffer, line(1), words, scene.paint.of(Tone::Dim));
    }
    for (one, y) in all.iter().zip(1..area.height) {
        put_row(buffer, line(y), &COLUMNS, &cells(scene, one));
    }
}

fn cells(scene: &Scene<'_>, one: &Situation) -> Vec<(String, Style)> {
    let plain = scene.paint.of(Tone::Plain);
    let severe = scene.paint.of(if one.severity >= Severity::High { Tone::Bad } else { Tone::Plain });
    // Since when it is, by the newest event: a store of yesterday's replay is looked at today.
    let newest = scene.view.memory.newest_event.unwrap_or(one.since);
    vec![
        (one.category.name().replace('_', " "), plain),
        (one.severity.name().to_owned(), severe),
        (age(newest.since(one.since).max(0)), plain),
        (one.title.clone(), plain),
    ]
}
