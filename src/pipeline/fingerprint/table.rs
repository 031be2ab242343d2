//! Tables: comma, semicolon or tab separated.
//!
//! Structure is the header's names (or positions, where the first line is no header), the widest kind of each column
//! and whether it has empty cells, whether rows differ in length, and whether there are rows at all. Quotes are read
//! as RFC 4180 has them; one that never closes means `CutShort`. Cells count against the node budget. Cost:
//! linear.

use super::label::Label;
use super::lexical::study;
use super::outline::{Outline, Scalar, Tag, bit_length};
use super::{Parse, ValueKind};

/// Columns that are told apart.
const COLUMNS_MAX: usize = 64;
/// Cells that are read.
const CELLS_MAX: usize = 4_096;

/// What is known of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    #[default]
    Nothing,
    Whole,
    Decimal,
    Text,
}

#[derive(Debug, Clone, Default)]
struct Column {
    name: Option<Vec<u8>>,
    widest: Width,
    has_empty: bool,
}

/// Enters a body.
pub(super) fn read(body: &[u8], outline: &mut Outline<'_>) -> Parse {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Group);
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut cells = Cells { rest: Some(body), separator: separator(body), is_unclosed: false };
    let mut columns: Vec<Column> = Vec::new();
    let (mut n_rows, mut at, mut n_cells, mut is_ragged, mut has_header) = (0_usize, 0_usize, 0_usize, false, false);
    let mut parse = Parse::Sound;
    while let Some((cell, ends_row)) = cells.next_cell() {
        n_cells += 1;
        if n_cells > CELLS_MAX {
            parse = Parse::Limited;
            break;
        }
        let is_blank_line = at == 0 && ends_row && cell.is_empty();
        if n_rows == 0 && !is_blank_line {
            if at < COLUMNS_MAX {
                columns.push(Column { name: is_header_name(cell).then(|| cell.to_vec()), ..Column::default() });
            }
        } else if !is_blank_line {
            take(columns.get_mut(at), at, cell, outline);
        }
        at += 1;
        if ends_row && !is_blank_line {
            if n_rows == 0 {
                has_header = !columns.is_empty() && columns.iter().all(|column| column.name.is_some());
                if !has_header {
                    first_row_is_data(body, cells.separator, &mut columns, outline);
                }
            }
            is_ragged |= n_rows > 0 && at.min(COLUMNS_MAX) != columns.len();
            n_rows += 1;
        }
        if ends_row {
            at = 0;
        }
    }
    if cells.is_unclosed {
        parse = Parse::CutShort;
    }
    let n_data_rows = n_rows.saturating_sub(usize::from(has_header));
    write(&columns, has_header, outline);
    for (holds, name) in [(is_ragged, b"ragged".as_slice()), (n_data_rows == 0, b"no rows"), (has_header, b"header")] {
        if holds {
            outline.fact(Label::Attribute(name));
        }
    }
    let rows = Scalar { size_log2: bit_length(n_data_rows), ..Scalar::plain(Tag::Array, ValueKind::Array) };
    outline.side_field(b"rows", rows);
    outline.close_to(n_open);
    parse
}

/// The separator that occurs most in the first line; a comma where none does.
fn separator(body: &[u8]) -> u8 {
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| line.iter().map(|byte| usize::from(*byte == separator)).sum::<usize>();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// A name of a column: short, begins with a letter, is no number.
fn is_header_name(cell: &[u8]) -> bool {
    let begins_well = cell.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_' || !byte.is_ascii());
    begins_well && cell.len() <= 64 && cell.iter().filter(|byte| byte.is_ascii_digit()).count() * 2 <= cell.len()
}

/// Counts the first row's cells as values, when it turned out to be no header.
fn first_row_is_data(body: &[u8], separator: u8, columns: &mut [Column], outline: &mut Outline<'_>) {
    let mut cells = Cells { rest: Some(body), separator, is_unclosed: false };
    for (at, column) in columns.iter_mut().enumerate() {
        column.name = None;
        if let Some((cell, _)) = cells.next_cell() {
            take(Some(column), at, cell, outline);
        }
    }
}

/// Counts a cell towards its column.
fn take(column: Option<&mut Column>, at: usize, cell: &[u8], outline: &mut Outline<'_>) {
    let facts = study(cell);
    outline.marks |= facts.marks;
    let scalar = outline.text_scalar(Tag::Text, &facts);
    let Some(column) = column else { return };
    match facts.kind {
        ValueKind::EmptyText => column.has_empty = true,
        ValueKind::NumericText if facts.is_whole => column.widest = column.widest.max(Width::Whole),
        ValueKind::NumericText => column.widest = column.widest.max(Width::Decimal),
        _ => column.widest = Width::Text,
    }
    match &column.name {
        Some(name) => outline.side_field(name, scalar),
        None => outline.side_field(&at.to_le_bytes(), scalar),
    }
}

fn write(columns: &[Column], has_header: bool, outline: &mut Outline<'_>) {
    for (at, column) in columns.iter().enumerate() {
        let position = [b'c', u8::try_from(at).unwrap_or(u8::MAX)];
        let label = match &column.name {
            Some(name) if has_header => Label::Name(name),
            _ => Label::Attribute(&position),
        };
        let tag = match column.widest {
            Width::Nothing => Tag::EmptyText,
            Width::Whole => Tag::Int,
            Width::Decimal => Tag::Float,
            Width::Text => Tag::Text,
        };
        outline.node(label, tag);
        if column.has_empty && column.widest != Width::Nothing {
            outline.node(label, Tag::EmptyText);
        }
    }
}

/// The cells of a table, in order.
struct Cells<'b> {
    rest: Option<&'b [u8]>,
    separator: u8,
    is_unclosed: bool,
}

impl<'b> Cells<'b> {
    /// The next cell (quotes dropped, doubled quotes left doubled), and whether its row ends with it.
    fn next_cell(&mut self) -> Option<(&'b [u8], bool)> {
        let rest = self.rest?;
        let (content, after) = if rest.first() == Some(&b'"') { self.quoted(rest) } else { (None, rest) };
        let end = after.iter().position(|byte| *byte == self.separator || *byte == b'\n');
        let (cell, tail) = end.and_then(|at| after.split_at_checked(at)).unwrap_or((after, &[]));
        let ends_row = tail.first() != Some(&self.separator);
        self.rest = tail.get(1..);
        // A line feed at the very end closes the last row and opens none.
        if ends_row && self.rest == Some(&[]) {
            self.rest = None;
        }
        let cell = content.unwrap_or(cell);
        Some((cell.strip_suffix(b"\r").unwrap_or(cell), ends_row))
    }

    /// The inside of a quoted cell, and what follows its closing quote.
    fn quoted(&mut self, rest: &'b [u8]) -> (Option<&'b [u8]>, &'b [u8]) {
        let inside = rest.get(1..).unwrap_or_default();
        let mut at = 0;
        loop {
            let Some(quote) = inside.get(at..).and_then(|tail| tail.iter().position(|byte| *byte == b'"')) else {
                self.is_unclosed = true;
                return (Some(inside), &[]);
            };
            at += quote + 1;
            if inside.get(at) != Some(&b'"') {
                return (inside.get(..at - 1), inside.get(at..).unwrap_or_default());
            }
            at += 1;
        }
    }
}
