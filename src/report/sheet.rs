//! A sheet of rows, written as a table, as JSON or as CSV.
//!
//! Pure: takes cells, gives text. Text is neutralised for its medium: no control or direction characters in a table,
//! no formulas in CSV (a leading `'` keeps spreadsheets from computing). The cost is linear in the cells; who asks for a
//! sheet bounds its rows.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle,
};
use serde_json::{Map, Value};

use super::Format;
use crate::pipeline::neutral;

/// Longest text of one cell, in bytes: a list of twenty names of 200 bytes with their counts fits.
const CELL_BYTES_MAX: usize = 8_192;

/// From this width on all columns but the last are as wide as their content, and the last one wraps; on a narrower
/// screen every column gives way.
const ROOMY_COLUMNS: u16 = 100;

/// A line under the head, and no other: what is copied from the screen is text.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none().junction(' '));

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    /// A text.
    Text(String),
    /// A count.
    Count(u64),
    /// A measure, shown with two decimals in a table and whole elsewhere.
    Measure(f64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(measure: f64) -> Self {
        Self::Measure(measure)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Measure(_))
    }

    fn shown(&self) -> String {
        match self {
            Self::Empty => "-".to_owned(),
            Self::Text(text) => printable(text),
            Self::Count(count) => count.to_string(),
            Self::Measure(measure) => format!("{measure:.2}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Text(text) => Value::from(printable(text)),
            Self::Count(count) => Value::from(*count),
            Self::Measure(measure) => Value::from(*measure),
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => without_formula(&printable(text)),
            Self::Count(count) => count.to_string(),
            Self::Measure(measure) => measure.to_string(),
        }
    }
}

/// Named columns and rows of as many cells; a short row is filled with nothing, a long one is cut.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// A sheet without rows. Column names are keys in JSON: `snake_case`. The last column is the one whose texts wrap.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, mut row: Vec<Cell>) {
        row.resize(self.columns.len(), Cell::Empty);
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sheet in a form; `width` is that of the screen in columns, for tables (`None`: as wide as needed).
    pub fn render(&self, format: Format, width: Option<u16>) -> String {
        match format {
            Format::Table => self.table(width),
            Format::Json => format!("{:#}\n", Value::Array(self.objects().collect())),
            Format::Csv => self.csv(),
        }
    }

    /// One JSON object a row, for answers that hold more than one sheet.
    pub fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            let pairs = self.columns.iter().zip(row).map(|(name, cell)| (name.clone(), cell.json()));
            Value::Object(pairs.collect::<Map<_, _>>())
        })
    }

    fn table(&self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = width {
            table.set_width(width);
        }
        table.set_header(self.columns.iter().map(|name| name.replace('_', " ")));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| {
                let side = if cell.is_number() { CellAlignment::Right } else { CellAlignment::Left };
                comfy_table::Cell::new(cell.shown()).set_alignment(side)
            }));
        }
        let n_fixed = self.columns.len().saturating_sub(1);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if at < n_fixed && width.is_some_and(|width| width >= ROOMY_COLUMNS) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        format!("{}\n", table.trim_fmt())
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = std::iter::once(self.columns.clone());
        for record in header.chain(self.rows.iter().map(|row| row.iter().map(Cell::csv).collect())) {
            // Writing to memory cannot fail, and all records have as many fields.
            let written = writer.write_record(&record);
            debug_assert!(written.is_ok(), "{written:?}");
        }
        writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// One printable line, bounded.
pub fn printable(text: &str) -> String {
    neutral::line(text, CELL_BYTES_MAX).into_owned()
}

/// A text that no spreadsheet takes for a formula.
fn without_formula(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '|', '%']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(text: &str) -> Sheet {
        let mut sheet = Sheet::new(&["cluster", "events", "points"]);
        sheet.push(vec![text.into(), 12_u64.into(), 3.25.into()]);
        sheet.push(vec!["short".into()]);
        sheet
    }

    #[test]
    fn a_table_has_a_head_and_numbers_to_the_right() {
        let shown = sheet("k1").render(Format::Table, Some(60));
        assert!(shown.contains("cluster"), "{shown}");
        assert!(shown.contains("   12"), "{shown}");
        assert!(shown.contains("3.25"), "{shown}");
    }

    #[test]
    fn json_keeps_numbers_as_numbers_and_tells_what_is_not_known() {
        let read: Value = serde_json::from_str(&sheet("k1").render(Format::Json, None)).unwrap();
        let expected = serde_json::json!([
            {"cluster": "k1", "events": 12, "points": 3.25}, {"cluster": "short", "events": null, "points": null}]);
        assert_eq!(read, expected);
    }

    #[test]
    fn csv_computes_nothing_and_keeps_its_lines() {
        let check = |text: &str, expected: &str| {
            let csv = sheet(text).render(Format::Csv, None);
            assert_eq!(csv, format!("cluster,events,points\n{expected},12,3.25\nshort,,\n"));
        };
        check("k1", "k1");
        check("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\"");
        check(" @sum", "' @sum");
        check("a,b", "\"a,b\"");
        check("a\r\nb", "a\\u{d}\\u{a}b");
    }

    #[test]
    fn a_measure_that_is_no_number_stays_valid_json() {
        let mut sheet = Sheet::new(&["points"]);
        sheet.push(vec![f64::NAN.into()]);
        assert_eq!(sheet.render(Format::Json, None).replace([' ', '\n'], ""), "[{\"points\":null}]");
    }

    #[test]
    fn terminal_escapes_do_not_reach_the_terminal() {
        let shown = sheet("\u{1b}]0;x\u{7}\u{202e}").render(Format::Table, None);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }
}
