//! The items of a record: one object, an array of them, or one a line.
//!
//! Reads a record's bytes and hands each object's text to a carrier's reader. Forwarders batch as they like, so that
//! all three forms are taken wherever one is. One bad item among several is noted and costs the others nothing; a
//! record of one item is refused as a whole. Never: a look into an item.
//!
//! Limits: [`ITEMS_MAX`] items a record. Cost: nothing for one object, one pass over the bytes for an array or lines.

use serde_json::value::RawValue;

use super::found::Find;
use super::trace::Trace;
use super::{Refusal, foreign};
use crate::pipeline::event::Reason;

/// Most items of a record that are read: an item of a real trace has some 800 bytes, and a record at most a MiB.
pub(super) const ITEMS_MAX: usize = 4_096;

/// Reads every item of a record with `read`.
///
/// Errors: bytes that are no JSON; of a record with one item, its own fault.
pub(super) fn each<'r, 'a>(
    payload: &'a [u8],
    find: &mut Find<'r, 'a>,
    mut read: impl FnMut(&'a str, &mut Find<'r, 'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let text = foreign::json_items(payload)?.trim_ascii();
    let mut all = |items: &mut dyn Iterator<Item = &'a str>| {
        for (at, item) in items.enumerate() {
            if at == ITEMS_MAX {
                let detail = format!("at most {ITEMS_MAX} items of a record are read");
                find.refuse_item(at, Refusal { reason: Reason::TooManyNodes, detail });
                break;
            }
            if let Err(refusal) = read(item, find) {
                find.refuse_item(at, refusal);
            }
        }
    };
    if text.starts_with('[') {
        let items: Vec<&'a RawValue> =
            serde_json::from_str(text).map_err(|error| foreign::explain(&error, &Trace::default(), text))?;
        all(&mut items.into_iter().map(RawValue::get));
        return Ok(());
    }
    if is_lines(text) {
        all(&mut text.lines().map(str::trim).filter(|line| !line.is_empty()));
        return Ok(());
    }
    read(text, find)
}

/// Whether the text is one object a line: its first line ends one, and another line follows.
fn is_lines(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(first, _)| first.trim_ascii_end().ends_with('}'))
}
