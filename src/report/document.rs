//! A page of words and tables that is written as Markdown, as HTML or as JSON, and says the same in all three.
//!
//! Pure: takes a [`Document`], gives text. A sentence is made of our own words and of foreign names ([`Words::name`]:
//! routes, sites, releases, destinations' answers; a stranger may have chosen them). Foreign names are made one
//! printable line and then inert for each medium by its renderer: no markup, no link, no new cell, no new line. Numbers
//! have one form each, so the same document gives the same bytes. Linear in its text; whoever makes it bounds its rows.

mod html;
mod json;
mod markdown;

use super::sheet::printable;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::interval::Interval;
use crate::pipeline::sightings::Reckoning;

/// Form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Markdown (`CommonMark` with the tables of GitHub), for tickets.
    Markdown,
    /// One self-contained HTML page.
    Html,
    /// One JSON object with stable keys.
    Json,
}

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Our own words and numbers.
    Ours(String),
    /// A name that somebody else chose.
    Foreign(String),
}

/// A sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(Vec<Part>);

impl Words {
    /// A sentence that begins with our own words.
    pub fn new(ours: impl Into<String>) -> Self {
        Self::default().say(ours)
    }

    /// Goes on with our own words.
    #[must_use]
    pub fn say(mut self, ours: impl Into<String>) -> Self {
        self.0.push(Part::Ours(ours.into()));
        self
    }

    /// Goes on with a foreign name.
    #[must_use]
    pub fn name(mut self, foreign: &str) -> Self {
        self.0.push(Part::Foreign(printable(foreign)));
        self
    }

    /// Goes on with another sentence's parts.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The sentence without any markup.
    fn plain(&self) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Ours(text) | Part::Foreign(text) => text.as_str(),
            })
            .collect()
    }
}

impl From<&str> for Words {
    fn from(ours: &str) -> Self {
        Self::new(ours)
    }
}

impl From<String> for Words {
    fn from(ours: String) -> Self {
        Self::new(ours)
    }
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not known, or there is nothing to divide by.
    Missing,
    /// Words, ours and foreign.
    Words(Words),
    /// A count.
    Count(u64),
    /// A count, as far as it can be told.
    Reckoned(Reckoning),
    /// A share from 0 to 1, with its interval.
    Share(Option<Interval>),
    /// How many times as many, with its interval.
    Ratio(Option<Interval>),
    /// A plain number.
    Number(Option<f64>),
    /// A point in time.
    Time(Option<Millis>),
    /// Milliseconds.
    Duration(Option<i64>),
}

impl Value {
    /// Our own words.
    pub fn words(ours: impl Into<String>) -> Self {
        Self::Words(Words::new(ours))
    }

    /// A foreign name.
    pub fn name(foreign: &str) -> Self {
        Self::Words(Words::default().name(foreign))
    }

    fn is_number(&self) -> bool {
        !matches!(self, Self::Words(_) | Self::Missing | Self::Time(_))
    }

    /// The cell as a sentence, for people.
    fn shown(&self) -> Words {
        match self {
            Self::Words(words) => words.clone(),
            Self::Count(n) => n.to_string().into(),
            Self::Reckoned(n) => reckoned(*n).into(),
            Self::Share(Some(share)) => percent(share).into(),
            Self::Ratio(Some(ratio)) => times(ratio).into(),
            Self::Number(Some(number)) => decimal(*number).into(),
            Self::Time(Some(at)) => clock(*at).into(),
            Self::Duration(Some(millis)) => duration(*millis).into(),
            Self::Missing
            | Self::Share(None)
            | Self::Ratio(None)
            | Self::Number(None)
            | Self::Time(None)
            | Self::Duration(None) => "-".into(),
        }
    }
}

/// A column: its key for machines, its head for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    key: &'static str,
    head: &'static str,
}

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    id: &'static str,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table without rows; `id` is its key for machines. A column's head is its key with spaces.
    pub fn new(id: &'static str, columns: &[(&'static str, &'static str)]) -> Self {
        let columns = columns.iter().map(|(key, head)| Column { key, head }).collect();
        Self { id, columns, rows: Vec::new() }
    }

    /// Adds a row; one that is short is filled up, one that is long is cut.
    pub fn push(&mut self, mut row: Vec<Value>) {
        row.resize(self.columns.len(), Value::Missing);
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What a section consists of.
#[derive(Debug, Clone, PartialEq)]
enum Block {
    Paragraph(Words),
    List(Vec<Words>),
    Table(Table),
}

/// A section.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    id: &'static str,
    title: &'static str,
    blocks: Vec<Block>,
}

impl Section {
    /// An empty section; `id` is its key for machines.
    pub fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, blocks: Vec::new() }
    }

    /// Adds a paragraph.
    pub fn say(&mut self, words: impl Into<Words>) {
        self.blocks.push(Block::Paragraph(words.into()));
    }

    /// Adds a list, if there is anything in it.
    pub fn list(&mut self, items: Vec<Words>) {
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
    }

    /// Adds a table, if there is anything in it.
    pub fn table(&mut self, table: Table) {
        if !table.is_empty() {
            self.blocks.push(Block::Table(table));
        }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What machines know its kind by, such as `postmortem.v1`.
    pub schema: &'static str,
    /// Its title.
    pub title: String,
    /// Its sections.
    pub sections: Vec<Section>,
}

impl Document {
    /// The page in a form.
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Markdown => markdown::render(self),
            Form::Html => html::render(self),
            Form::Json => format!("{:#}\n", json::value(self)),
        }
    }
}

/// `1 event`, `2 events`: a word that takes an s.
pub fn plural(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// `12`, or `10 to 12` where it cannot be told.
pub fn reckoned(n: Reckoning) -> String {
    n.exact().map_or_else(|| format!("{} to {}", n.low, n.high), |n| n.to_string())
}

/// `93.1 % (91.0 to 94.8)`.
pub fn percent(share: &Interval) -> String {
    let Interval { low, estimate, high } = share;
    format!("{:.1} % ({:.1} to {:.1})", estimate * 100.0, low * 100.0, high * 100.0)
}

/// `2.31 times (1.90 to 2.80)`.
pub fn times(ratio: &Interval) -> String {
    let number = |x: f64| if x.is_finite() { format!("{x:.2}") } else { "no limit".to_owned() };
    let Interval { low, estimate, high } = ratio;
    if estimate.is_finite() {
        format!("{} times ({} to {})", number(*estimate), number(*low), number(*high))
    } else {
        format!("at least {} times", number(*low))
    }
}

/// Two decimals; what is no number is none.
pub fn decimal(number: f64) -> String {
    if number.is_finite() { format!("{number:.2}") } else { "-".to_owned() }
}

/// `2026-11-17 14:05:12`, in UTC.
pub fn clock(at: Millis) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    seconds.replacen('T', " ", 1)
}

/// `850 ms`, `12.5 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(millis: i64) -> String {
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let secs = millis / 1_000;
    match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, 0) => format!("{sign}{millis} ms"),
        (0, 0, 0, secs) => format!("{sign}{secs}.{} s", millis % 1_000 / 100),
        (0, 0, minutes, secs) => format!("{sign}{minutes} min {secs} s"),
        (0, hours, minutes, _) => format!("{sign}{hours} h {minutes} min"),
        (days, hours, ..) => format!("{sign}{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests;
