//! The clusters, as many as there is room for around the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::super::sheet::{Tone, to_the_second, tone_of};
use super::super::view::ClusterRow;
use super::{Column, Lines, Panel, Scene, put, put_head, put_row, title};

pub(super) const PANEL: Panel = Panel { lines, draw };

/// Lines of a panel before its first cluster.
const HEAD_LINES: u16 = 2;

/// Below this the last event gives its place to the route.
const COLUMNS_FOR_LAST_EVENT: u16 = 56;
/// From here on there is room for the severity, whole ids, and titles in place of routes.
const COLUMNS_FOR_SEVERITY: u16 = 110;

/// Digits of an id and `c-`, where ids are cut; `report show` takes the beginning of one.
const SHORT_ID_CHARS: usize = 10;

fn lines(_: &Scene<'_>) -> Lines {
    Lines { least: 3, enough: 8, most: u16::MAX }
}

fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let n_rows = usize::from(area.height.saturating_sub(HEAD_LINES));
    let n = scene.arranged.len();
    // The selected one is in the middle, but for the ends.
    let first = scene.controls.at().saturating_sub(n_rows / 2).min(n.saturating_sub(n_rows));
    let kind = scene.controls.verdict.map(|verdict| format!("{} ", verdict.name())).unwrap_or_default();
    let order = scene.controls.order.name();
    let shown = match n {
        0 => "0".to_owned(),
        _ => format!("{} to {} of {n}", first + 1, (first + n_rows).min(n)),
    };
    title(area, buffer, &format!("{kind}clusters by {order}, open alerts (!) first"), &shown);
    let columns = columns(area.width);
    let line = |at: u16| Rect { y: area.y.saturating_add(at), height: 1, ..area };
    if area.height > 1 {
        put_head(scene, buffer, line(1), &columns);
    }
    if n == 0 && area.height > HEAD_LINES {
        put(buffer, line(HEAD_LINES), nothing(scene), scene.paint.of(Tone::Dim));
    }
    for (at, y) in scene.arranged.iter().enumerate().skip(first).zip(HEAD_LINES..area.height) {
        let (place, Some(row)) = (at.0, scene.view.memory.clusters.get(*at.1)) else { continue };
        let selected = scene.has_keys && place == scene.controls.at();
        let style = if selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        put_row(buffer, line(y), &columns, &cells(scene, row, area.width));
        buffer.set_style(line(y), style);
    }
}

fn nothing(scene: &Scene<'_>) -> &'static str {
    if scene.view.store.read_at.is_none() {
        "the store was not read yet"
    } else if scene.view.memory.clusters.is_empty() {
        "the store holds no clusters yet: nothing has been clustered"
    } else {
        "no cluster has this verdict"
    }
}

fn columns(width: u16) -> Vec<Column> {
    let column = |name, width, is_number| Column { name, width, is_number };
    let roomy = width >= COLUMNS_FOR_SEVERITY;
    let mut columns = vec![
        column("cluster", if roomy { 19 } else { 11 }, false),
        column("verdict", 9, false),
        column("points", 6, true),
        column("events", 7, true),
    ];
    if roomy {
        columns.insert(3, column("severity", 8, false));
    }
    if width >= COLUMNS_FOR_LAST_EVENT {
        columns.push(column("last event", if roomy { 19 } else { 11 }, false));
    }
    columns.push(column(if roomy { "title" } else { "route" }, 0, false));
    columns
}

fn cells(scene: &Scene<'_>, row: &ClusterRow, width: u16) -> Vec<(String, Style)> {
    let roomy = width >= COLUMNS_FOR_SEVERITY;
    let plain = scene.paint.of(Tone::Plain);
    let toned = scene.paint.of(tone_of(row.verdict));
    let mark = if row.is_open { '!' } else { ' ' };
    let id: String = row.id.to_string().chars().take(if roomy { usize::MAX } else { SHORT_ID_CHARS }).collect();
    let mut cells = vec![
        (format!("{mark}{id}"), toned),
        (row.verdict.name().to_owned(), toned),
        (format!("{:.2}", row.points), plain),
        (row.events.to_string(), plain),
    ];
    if roomy {
        cells.insert(3, (row.severity.name().to_owned(), plain));
    }
    if width >= COLUMNS_FOR_LAST_EVENT {
        let at = row.last_event.map(to_the_second).unwrap_or_default();
        // Without the year and the seconds where there is little room.
        let told = if roomy { at } else { at.chars().skip(5).take(11).collect() };
        cells.push((told, plain));
    }
    cells.push((if roomy { row.title.clone() } else { row.route.clone() }, plain));
    cells
}
