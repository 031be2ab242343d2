//! Request totals as a table: CSV with a header, as monitoring systems write it out.
//!
//! Reads the bytes of a whole file, unpacked; gives one [`TrafficRow`] a row: its total, or why it is none. Columns are
//! found by their names in the header, in any order: `window_start`, `endpoint` and `requests` must be there, `release`,
//! `service`, `tenant` and `window_secs` may be; others are not read, and are named to whoever asked. A cell without a text
//! counts as absent. The rules of a total are those of [`super`].
//!
//! Never: a cell in a refusal's words. Limits: [`ROWS_MAX`] rows. Cost: one pass, some 150 bytes a row.

use std::borrow::Cow;

use csv::ByteRecord;

use super::super::reader::Leaf;
use super::super::trace::{Fault, Trace};
use super::super::{Refusal, field};
use super::{RequestTotal, TotalWire};
use crate::pipeline::event::Reason;
use crate::pipeline::neutral;

/// Most rows of a feed: forty routes in two releases over forty days of windows.
const ROWS_MAX: usize = 1_000_000;

/// Most names of columns that are not read, which are told.
const UNREAD_TOLD_MAX: usize = 16;

/// Most bytes of such a name.
const NAME_BYTES_MAX: usize = 60;

/// Columns by their place among the cells of a row, and whether they must be there.
const COLUMNS: [(&str, bool); 7] = [
    ("window_start", true),
    ("window_secs", false),
    ("service", false),
    ("tenant", false),
    ("endpoint", true),
    ("release", false),
    ("requests", true),
];

/// A feed that was read.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Its rows, in their order.
    pub rows: Vec<TrafficRow>,
    /// Columns that are not read, neutralised; the first few.
    pub unread: Vec<String>,
}

/// One row.
#[derive(Debug)]
pub struct TrafficRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Its total, or why it is none.
    pub total: Result<RequestTotal<'static>, Refusal>,
}

/// Reads a feed.
///
/// # Errors
/// A file without a header, a header without a column that is needed or with one twice, and more than [`ROWS_MAX`] rows.
pub fn read_traffic(bytes: &[u8]) -> Result<Traffic, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|_| refusal(Reason::NotUtf8, "the header: it cannot be read"))?.clone();
    let (places, unread) = places(&header)?;
    let mut traffic = Traffic { rows: Vec::new(), unread };
    let mut row = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(false) => return Ok(traffic),
            Ok(true) if traffic.rows.len() == ROWS_MAX => {
                return Err(refusal(Reason::TooLarge, &format!("the feed: at most {ROWS_MAX} rows are read")));
            }
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                let total = total(&row, &places, header.len());
                traffic.rows.push(TrafficRow { line, total });
            }
            // Bytes in memory cannot fail, and rows of any length are taken.
            Err(_) => return Err(refusal(Reason::BadValue, "the feed: it cannot be read as CSV")),
        }
    }
}

fn refusal(reason: Reason, detail: &str) -> Refusal {
    Refusal { reason, detail: detail.to_owned() }
}

/// Where each column stands in a row.
type Places = [Option<usize>; COLUMNS.len()];

fn places(header: &ByteRecord) -> Result<(Places, Vec<String>), Refusal> {
    let (mut places, mut unread) = (Places::default(), Vec::new());
    for (at, name) in header.iter().enumerate() {
        let column = COLUMNS.iter().position(|(known, _)| known.as_bytes() == name.trim_ascii());
        match column.and_then(|column| places.get_mut(column)) {
            Some(Some(_)) => return Err(refusal(Reason::BadValue, "the header: a column stands in it twice")),
            Some(place) => *place = Some(at),
            None if unread.len() < UNREAD_TOLD_MAX => {
                unread.push(neutral::line(&String::from_utf8_lossy(name), NAME_BYTES_MAX).into_owned());
            }
            None => {}
        }
    }
    let absent = COLUMNS.iter().zip(places).filter(|((_, needed), place)| *needed && place.is_none());
    let absent: Vec<&str> = absent.map(|((name, _), _)| *name).collect();
    if absent.is_empty() {
        return Ok((places, unread));
    }
    let detail = format!(
        "the header: the columns window_start, endpoint and requests are needed, and {} is missing",
        absent.join(", ")
    );
    Err(refusal(Reason::MissingKey, &detail))
}

fn total(row: &ByteRecord, places: &Places, n_columns: usize) -> Result<RequestTotal<'static>, Refusal> {
    if row.len() != n_columns {
        let detail = format!("the row: it has {} cells, and the header has {n_columns}", row.len());
        return Err(refusal(Reason::BadValue, &detail));
    }
    let cells = places.iter().zip(COLUMNS).map(|(place, (name, _))| {
        let bytes = place.and_then(|place| row.get(place)).unwrap_or_default().trim_ascii();
        let text = std::str::from_utf8(bytes);
        text.map_err(|_| refusal(Reason::NotUtf8, &format!("{name}: UTF-8 is needed")))
    });
    let cells = cells.collect::<Result<Vec<&str>, _>>()?;
    let [start, secs, service, tenant, endpoint, release, requests] = cells.as_slice() else {
        return Err(refusal(Reason::MissingKey, "the row: a cell is missing"));
    };
    let wire = TotalWire {
        window_start: cell("window_start", start, field::Time)?,
        window_secs: number("window_secs", secs)?,
        service: cell("service", service, field::Name)?,
        tenant: cell("tenant", tenant, field::Name)?,
        endpoint: cell("endpoint", endpoint, field::Id)?,
        release: cell("release", release, field::Name)?,
        requests: number("requests", requests)?,
    };
    wire.settle(None).map(RequestTotal::into_owned)
}

/// A cell as the key of the same name is read in JSON; nothing where it has no text.
fn cell<'a, L: Leaf<'a>>(name: &str, text: &'a str, leaf: L) -> Result<Option<L::Out>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    leaf.text(Cow::Borrowed(text), &Trace::default()).map(Some).map_err(|fault| match fault {
        Fault::TooLong(bytes_max) => refusal(Reason::TooLong, &format!("{name}: at most {bytes_max} bytes are taken")),
        Fault::Value(needed) => refusal(Reason::BadValue, &format!("{name}: {needed}")),
        Fault::Wrong(_) => refusal(Reason::WrongType, &format!("{name}: {} is needed", L::NEEDS)),
    })
}

fn number(name: &str, text: &str) -> Result<Option<u64>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    // `parse` would take a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text);
    let detail = || refusal(Reason::BadValue, &format!("{name}: a whole number from 0 to 1000000000000 is needed"));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(detail)
}
