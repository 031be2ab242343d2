//! From a view to a screen: panels from top to bottom, each a function of its own.
//!
//! Pure: takes a [`Scene`], writes into a buffer of cells, of whatever size; what has no room is left out, lines are cut
//! at the edge. The panels of a page are a list: a further one is a module with two functions and a line in
//! [`OVERVIEW`]. Meaning never hangs on colour alone, since there may be none.

mod clusters;
mod destinations;
mod header;
mod situations;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::keys::{Controls, Page};
use super::sheet::{Said, Tone};
use super::view::View;
use crate::pipeline::event::Millis;

/// All that a frame is drawn from.
pub(super) struct Scene<'s> {
    pub(super) view: &'s View,
    pub(super) controls: &'s Controls,
    /// The clusters that are shown, as indices into the view's.
    pub(super) arranged: &'s [usize],
    /// The lines of the page, where it is one of lines, broken for this screen.
    pub(super) sheet: &'s [Said],
    /// The wall clock, for ages.
    pub(super) now: Millis,
    /// Whether the store is being read for so long that it should be said.
    pub(super) is_reading: bool,
    pub(super) paint: Paint,
    /// Whether somebody can press keys.
    pub(super) has_keys: bool,
}

/// Lines that a panel asks for: first every panel gets its least, then what is enough for it, then its most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lines {
    least: u16,
    enough: u16,
    most: u16,
}

/// A part of the screen over its whole width.
struct Panel {
    lines: fn(&Scene<'_>) -> Lines,
    draw: fn(&Scene<'_>, Rect, &mut Buffer),
}

/// The panels of the first page.
const OVERVIEW: [Panel; 5] = [header::PANEL, situations::PANEL, clusters::PANEL, destinations::PANEL, FOOTER];

/// The panels of a page of lines.
const SHEET: [Panel; 3] = [header::PANEL, Panel { lines: sheet_lines, draw: sheet }, FOOTER];

const FOOTER: Panel = Panel { lines: footer_lines, draw: footer };

/// Draws a frame.
pub(super) fn frame(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let panels = match scene.controls.page {
        Page::Overview => &OVERVIEW[..],
        Page::Cluster(_) | Page::Keys => &SHEET[..],
    };
    let asked: Vec<Lines> = panels.iter().map(|panel| (panel.lines)(scene)).collect();
    let mut top = area.y;
    for (panel, height) in panels.iter().zip(heights(&asked, area.height)) {
        let part = Rect { y: top, height, ..area }.intersection(buffer.area);
        if !part.is_empty() {
            (panel.draw)(scene, part, buffer);
        }
        top = top.saturating_add(height);
    }
}

/// How many lines each panel gets of `room`; together never more than that.
fn heights(asked: &[Lines], room: u16) -> Vec<u16> {
    let mut given = vec![0; asked.len()];
    let mut left = room;
    for wanted in [|lines: &Lines| lines.least, |lines: &Lines| lines.enough, |lines: &Lines| lines.most] {
        for (given, lines) in given.iter_mut().zip(asked) {
            let more = wanted(lines).saturating_sub(*given).min(left);
            *given += more;
            left -= more;
        }
    }
    given
}

fn sheet_lines(_: &Scene<'_>) -> Lines {
    Lines { least: 1, enough: 3, most: u16::MAX }
}

fn sheet(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    for (said, y) in scene.sheet.iter().skip(scrolled(scene)).zip(area.y..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, &said.text, scene.paint.of(said.tone));
    }
}

/// Lines of the page that are scrolled off; the last one always stays.
fn scrolled(scene: &Scene<'_>) -> usize {
    scene.controls.scroll.min(scene.sheet.len().saturating_sub(1))
}

fn footer_lines(scene: &Scene<'_>) -> Lines {
    let n = u16::from(scene.has_keys);
    Lines { least: n, enough: n, most: n }
}

fn footer(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let pause = if scene.controls.paused { "p go on" } else { "p pause" };
    let text = match scene.controls.page {
        Page::Overview => {
            format!("q quit  ? keys  arrows jk select  Enter open  s sort  v verdict  {pause}  r read")
        }
        Page::Cluster(_) | Page::Keys => {
            let (at, n) = (scrolled(scene) + 1, scene.sheet.len());
            format!("q quit  ? keys  Esc back  arrows jk scroll  {pause}  r read  from line {at} of {n}")
        }
    };
    put(buffer, area, &text, scene.paint.of(Tone::Dim));
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) color: bool,
}

impl Paint {
    /// How a tone looks.
    pub(super) fn of(self, tone: Tone) -> Style {
        let (color, modifier) = match tone {
            Tone::Plain => (Color::Reset, Modifier::empty()),
            Tone::Head => (Color::Reset, Modifier::BOLD),
            Tone::Good => (Color::Green, Modifier::empty()),
            Tone::Bad => (Color::Red, Modifier::BOLD),
            Tone::Dim => (Color::Reset, Modifier::DIM),
        };
        let style = Style::new().add_modifier(modifier);
        if self.color && color != Color::Reset { style.fg(color) } else { style }
    }
}

/// Writes one line of text at the top of an area, cut at its edge with a mark; gives the columns that it took.
fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return 0;
    }
    let room = usize::from(area.width);
    let (end, _) = buffer.set_stringn(area.x, area.y, text, room, style);
    if Span::raw(text).width() > room
        && let Some(cell) = buffer.cell_mut((area.right().saturating_sub(1), area.y))
    {
        cell.set_symbol("…").set_style(style);
    }
    end.saturating_sub(area.x)
}

/// Writes spans one after the other.
fn put_all(buffer: &mut Buffer, mut area: Rect, spans: &[(&str, Style)]) {
    for (text, style) in spans {
        let taken = put(buffer, area, text, *style).min(area.width);
        area = Rect { x: area.x.saturating_add(taken), width: area.width - taken, ..area };
    }
}

/// The title of a panel: a reversed line, with a word at its right end where there is room.
fn title(area: Rect, buffer: &mut Buffer, left: &str, right: &str) {
    let line = Rect { height: 1, ..area };
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    buffer.set_style(line, reversed);
    put(buffer, line, left, reversed);
    let width = columns_of(right);
    if columns_of(left).saturating_add(width).saturating_add(2) <= line.width {
        put(buffer, Rect { x: line.right() - width, width, ..line }, right, reversed);
    }
}

fn columns_of(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A column of a table.
struct Column {
    name: &'static str,
    width: u16,
    is_number: bool,
}

/// Writes the cells of a row one after the other, a column's space between them; the last one takes what is left.
fn put_row(buffer: &mut Buffer, area: Rect, columns: &[Column], cells: &[(String, Style)]) {
    let mut x = area.x;
    let last = columns.len().saturating_sub(1);
    for (at, (column, (text, style))) in columns.iter().zip(cells).enumerate() {
        let left = area.right().saturating_sub(x);
        let width = if at == last { left } else { column.width.min(left) };
        let indent = if column.is_number { width.saturating_sub(columns_of(text)) } else { 0 };
        put(buffer, Rect { x: x + indent, y: area.y, width: width - indent, height: 1 }, text, *style);
        x = x.saturating_add(width).saturating_add(1).min(area.right());
    }
}

/// Names of columns, as a row.
fn put_head(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, columns: &[Column]) {
    let style = scene.paint.of(Tone::Head);
    let cells: Vec<(String, Style)> = columns.iter().map(|column| (column.name.to_owned(), style)).collect();
    put_row(buffer, area, columns, &cells);
}

/// `12 s`, `4 min`, `3 h`, `2 d`; a clock that was set back gives `0 s`.
fn age(millis: i64) -> String {
    let secs = millis.max(0) / 1_000;
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..86_400 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// The lines of a buffer as text, without spaces at their ends and empty lines at the end.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let mut lines: Vec<String> = Vec::new();
    for row in buffer.content().chunks(width) {
        let mut line = String::new();
        let mut hidden = 0;
        for cell in row {
            // What a wide character covers has a cell of its own that nobody sees.
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = Span::raw(cell.symbol()).width().saturating_sub(1);
            line.push_str(cell.symbol());
        }
        lines.push(line.trim_end().to_owned());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests;
