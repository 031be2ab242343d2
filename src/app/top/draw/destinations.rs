//! The destinations: what waits, what they have, what they refused, and how each one's lane does.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::sheet::Tone;
use super::super::view::{Destination, Service};
use super::{Column, Lines, Panel, Scene, age, put, put_head, put_row, title};
use crate::edge::admin::LaneState;

pub(super) const PANEL: Panel = Panel { lines, draw };

/// Destinations that are shown: those of most services. The title says how many there are.
const SHOWN_MAX: usize = 6;

/// Lines before the first destination.
const HEAD_LINES: u16 = 2;

/// What each is told by.
const COLUMNS: [Column; 6] = [
    Column { name: "destination", width: 14, is_number: false },
    Column { name: "waiting", width: 7, is_number: true },
    Column { name: "oldest", width: 7, is_number: true },
    Column { name: "delivered", width: 9, is_number: true },
    Column { name: "refused", width: 7, is_number: true },
    Column { name: "state", width: 0, is_number: false },
];

fn lines(scene: &Scene<'_>) -> Lines {
    let n = u16::try_from(scene.view.destinations.len().clamp(1, SHOWN_MAX)).unwrap_or(1);
    Lines { least: 0, enough: HEAD_LINES + n, most: HEAD_LINES + n }
}

fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let all = &scene.view.destinations;
    let n_rows = usize::from(area.height.saturating_sub(HEAD_LINES));
    let more = if all.len() > n_rows { format!("{n_rows} of {}", all.len()) } else { String::new() };
    title(area, buffer, "destinations", &more);
    let line = |at: u16| Rect { y: area.y.saturating_add(at), height: 1, ..area };
    if area.height > 1 {
        put_head(scene, buffer, line(1), &COLUMNS);
    }
    if all.is_empty() && area.height > HEAD_LINES {
        let read = scene.view.store.read_at.is_some();
        let words = if read { "no destination has read this outbox yet" } else { "the store was not read yet" };
        put(buffer, line(HEAD_LINES), words, scene.paint.of(Tone::Dim));
    }
    // Those that need somebody come first, so that none of them is cut off.
    let mut sorted: Vec<&Destination> = all.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(urgency(one)));
    for (one, y) in sorted.iter().zip(HEAD_LINES..area.height) {
        put_row(buffer, line(y), &COLUMNS, &cells(scene, one));
    }
}

fn urgency(one: &Destination) -> u8 {
    match one.lane {
        Some(LaneState::OnHold(_)) => 3,
        Some(LaneState::Retrying(_)) => 2,
        _ => u8::from(one.refused > 0),
    }
}

fn cells(scene: &Scene<'_>, one: &Destination) -> Vec<(String, Style)> {
    let plain = scene.paint.of(Tone::Plain);
    let refused = scene.paint.of(if one.refused > 0 { Tone::Bad } else { Tone::Plain });
    let (state, tone) = state(scene, one);
    vec![
        (one.name.clone(), plain),
        (one.waiting.to_string(), plain),
        (one.oldest_waiting.map_or_else(|| "-".to_owned(), |at| age(scene.now.since(at))), plain),
        (one.delivered.to_string(), plain),
        (one.refused.to_string(), refused),
        (state, scene.paint.of(tone)),
    ]
}

fn state(scene: &Scene<'_>, one: &Destination) -> (String, Tone) {
    let left_out = if one.left_out > 0 { format!("; {} left out", one.left_out) } else { String::new() };
    match &one.lane {
        Some(LaneState::Idle) => (format!("idle{left_out}"), Tone::Plain),
        Some(LaneState::Delivering) => (format!("delivering{left_out}"), Tone::Good),
        Some(LaneState::Retrying(why)) => (format!("retrying: {why}"), Tone::Bad),
        Some(LaneState::OnHold(why)) => (format!("ON HOLD: {why}"), Tone::Bad),
        None if matches!(scene.view.service, Service::Answered { .. }) => {
            (format!("not configured now{left_out}"), Tone::Dim)
        }
        None => (format!("not known{left_out}"), Tone::Dim),
    }
}
