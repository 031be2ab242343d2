//! A document as Markdown.
//!
//! Our own words have the few characters escaped that could be markup. A foreign name becomes a code span, in which
//! nothing is markup, no link is made and nobody is mentioned, within a fence that is longer than any run of backticks
//! in it. A pipe would end a table's cell even there, and a backslash before it would keep it from being escaped, so a
//! name with a pipe has all its punctuation as character references instead. Names are one line each: no line of the
//! result begins with a stranger's character.

use std::fmt::Write;

use super::{Block, Document, Part, Table, Value, Words};

/// What may be markup in our own words.
const MARKUP: [char; 12] = ['\\', '`', '*', '_', '[', ']', '<', '>', '&', '|', '~', '#'];

pub(super) fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", ours(&document.title));
    for section in &document.sections {
        line(&mut text, &format!("\n## {}", ours(section.title)));
        for block in &section.blocks {
            text.push('\n');
            match block {
                Block::Paragraph(words) => line(&mut text, &sentence(words)),
                Block::List(items) => items.iter().for_each(|item| line(&mut text, &format!("- {}", sentence(item)))),
                Block::Table(table) => rows(&mut text, table),
            }
        }
    }
    text
}

fn rows(text: &mut String, table: &Table) {
    let heads = table.columns.iter().map(|column| ours(column.head));
    line(text, &row(heads));
    let sides = (0..table.columns.len()).map(|at| {
        let is_number = table.rows.iter().filter_map(|row| row.get(at)).any(Value::is_number);
        if is_number { "---:".to_owned() } else { "---".to_owned() }
    });
    line(text, &row(sides));
    for values in &table.rows {
        line(text, &row(values.iter().map(|value| sentence(&value.shown()))));
    }
}

fn row(cells: impl Iterator<Item = String>) -> String {
    cells.fold("|".to_owned(), |row, cell| format!("{row} {cell} |"))
}

fn line(text: &mut String, one: &str) {
    text.push_str(one);
    text.push('\n');
}

fn sentence(words: &Words) -> String {
    let parts = words.0.iter().map(|part| match part {
        Part::Ours(text) => ours(text),
        Part::Foreign(text) => foreign(text),
    });
    parts.collect()
}

fn ours(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if MARKUP.contains(&c) {
            escaped.push('\\');
        }
        escaped.push(if c.is_control() { ' ' } else { c });
    }
    escaped
}

fn foreign(name: &str) -> String {
    if name.trim().is_empty() {
        return "(empty)".to_owned();
    }
    if name.contains('|') {
        return references(name);
    }
    let fence = "`".repeat(longest_run(name) + 1);
    let pad = if name.starts_with(['`', ' ']) || name.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

/// All punctuation as numeric character references: text in every place of every Markdown.
fn references(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_punctuation() {
            // Writing to a String cannot fail.
            write!(text, "&#{};", u32::from(c)).unwrap_or_default();
        } else {
            text.push(c);
        }
    }
    text
}

fn longest_run(name: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in name.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
