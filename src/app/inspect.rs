//! What the decoders make of records: the first thing to run on a dump of one's own topic.
//!
//! Reads files of records; writes one JSON line for each panic found, with its carrier and class, and one for each
//! record that is refused, with the reason. What waits for other records is put together as in the service. No state, no
//! store, no network. Bodies, values of queries and idempotency keys are written only when asked for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::edge::files::{FileSource, Framing};
use crate::edge::format::json;
use crate::edge::{Pull, Source};
use crate::pipeline::classify::{PanicModel, classify};
use crate::pipeline::decode::written::written;
use crate::pipeline::decode::{Decoded, Feed, Piece, decode};
use crate::pipeline::event::{Batch, PanicEvent, Position};
use crate::pipeline::gather::{Gather, GatherPolicy, Gathered};
use crate::pipeline::neutral;

/// Most bytes of a path in a line.
const PLACE_BYTES_MAX: usize = 512;

/// What is looked at, and how.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Files; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// What is known of the records.
    pub feed: Feed,
    /// Records that tell of no panic, or a part of one, get a line, too.
    pub all: bool,
    /// Bodies, values of queries and idempotency keys are written.
    pub values: bool,
}

/// Writes what the decoders make of each record to `out`; gives the number of records by what became of them.
///
/// # Errors
/// A file that cannot be read, or an `out` that cannot be written.
pub async fn inspect(inspection: &Inspection, out: &mut impl Write) -> Result<BTreeMap<&'static str, u64>> {
    let mut source = FileSource::open_framed(&inspection.inputs, Framing::Told)?;
    let model = PanicModel::builtin()?;
    let mut look = Look { inspection, model, gather: Gather::default(), out, counts: BTreeMap::new() };
    loop {
        match source.next().await? {
            Pull::Batch(batch) => look.take(&batch)?,
            Pull::Closed => break,
            Pull::Idle | Pull::Gap(_) => {}
        }
    }
    let rest = look.gather.flush();
    look.tell_whole(&rest)?;
    Ok(look.counts)
}

/// An inspection under way.
struct Look<'i, W> {
    inspection: &'i Inspection,
    model: PanicModel,
    gather: Gather,
    out: &'i mut W,
    counts: BTreeMap<&'static str, u64>,
}

impl<W: Write> Look<'_, W> {
    fn take(&mut self, batch: &Batch) -> Result<()> {
        for record in batch.iter() {
            let position = record.position;
            let Decoded { carrier, pieces, refusal } = decode(&self.inspection.feed, record);
            let (mut n_events, mut n_parts) = (0, 0);
            for piece in pieces {
                if let Piece::Event(event) = piece {
                    n_events += 1;
                    self.tell(position, &event)?;
                } else {
                    n_parts += usize::from(self.gather.take(&GatherPolicy::FILES, position, piece));
                }
            }
            let fate = match (&refusal, n_events, n_parts) {
                (Some(_), ..) => "refused",
                (None, 0, 0) => "without_panic",
                (None, 0, _) => "parts",
                (None, ..) => "events",
            };
            *self.counts.entry(fate).or_default() += 1;
            let what = refusal
                .map(|refusal| {
                    ("refused", serde_json::json!({"reason": refusal.reason.name(), "detail": refusal.detail}))
                })
                .or_else(|| (self.inspection.all && n_events == 0).then(|| ("tells", serde_json::json!(fate))));
            if let Some((key, value)) = what {
                self.line(&serde_json::json!({"record": place(position), "carrier": carrier.name(), key: value}))?;
            }
        }
        let whole = self.gather.whole(None);
        self.tell_whole(&whole)
    }

    fn tell_whole(&mut self, whole: &[Gathered]) -> Result<()> {
        whole.iter().try_for_each(|gathered| self.tell(gathered.place.position(), &gathered.event))
    }

    fn tell(&mut self, position: Position<'_>, event: &PanicEvent<'_>) -> Result<()> {
        let class = classify(&self.model, &event.panic.message);
        self.line(&serde_json::json!({
            "record": place(position),
            "carrier": event.carrier.name(),
            "class": class.class,
            "surface": class.surface,
            "secondary": class.secondary,
            "event": written(event, self.inspection.values),
        }))
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        let mut bytes = Vec::new();
        json::write(&line, &mut bytes)?;
        bytes.push(b'\n');
        Ok(self.out.write_all(&bytes)?)
    }
}

fn place(position: Position<'_>) -> String {
    neutral::line(&format!("{}:{}", position.topic, position.offset.saturating_add(1)), PLACE_BYTES_MAX).into_owned()
}
