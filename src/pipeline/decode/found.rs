//! What decoders find in a record, made complete by what only the record and its topic know.
//!
//! Every decoder hands its finds to a [`Find`]: it applies the clock rule, puts in the topic's service and tenant where
//! the carrier names none, gives a name to an event that has none, and keeps the first fault of a record that has
//! several items. Never looks into a text. Cost: some moves an event.

use std::borrow::Cow;

use super::{Feed, Piece, Refusal, event_time};
use crate::pipeline::event::{Carrier, Millis, PanicEvent, RawRecord, Reason};

/// What was found so far in one record.
pub(super) struct Find<'r, 'a> {
    record: RawRecord<'r>,
    feed: &'r Feed,
    carrier: Carrier,
    around: Around,
    n_before: usize,
    pieces: Vec<Piece<'a>>,
    fault: Option<Refusal>,
    n_faults: usize,
}

/// What stands around the carrier's own form, for events that do not say it themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// Names the events.
    pub(super) name: Option<String>,
    /// When they were sent.
    pub(super) time: Option<Millis>,
}

impl<'r, 'a> Find<'r, 'a> {
    /// Nothing was found yet.
    pub(super) fn new(record: RawRecord<'r>, feed: &'r Feed, carrier: Carrier) -> Self {
        let around = Around::default();
        Self { record, feed, carrier, around, n_before: 0, pieces: Vec::new(), fault: None, n_faults: 0 }
    }

    /// The same for what stands within an envelope.
    pub(super) fn within(self, around: Around) -> Self {
        Self { around, ..self }
    }

    /// Takes this time for events without one, where it is known.
    pub(super) fn set_time_around(&mut self, time: Option<Millis>) {
        self.around.time = time.or(self.around.time);
    }

    /// An empty one for the same record, whose finds may borrow from elsewhere until they are absorbed.
    pub(super) fn inner<'x>(&self) -> Find<'r, 'x> {
        let n_before = self.n_before + self.pieces.len();
        Find { around: self.around.clone(), n_before, ..Find::new(self.record, self.feed, self.carrier) }
    }

    /// Takes over what an inner one found.
    pub(super) fn absorb(&mut self, inner: Find<'_, '_>) {
        self.pieces.extend(inner.pieces.into_iter().map(|piece| -> Piece<'a> { piece.into_owned() }));
        self.n_faults += inner.n_faults;
        if let Some(fault) = inner.fault {
            self.fault.get_or_insert(fault);
        }
    }

    /// What the topic's configuration says.
    pub(super) fn feed(&self) -> &'r Feed {
        self.feed
    }

    /// The record that is read.
    pub(super) fn record(&self) -> RawRecord<'r> {
        self.record
    }

    /// Adds a panic that the record tells of. `sent_at` is the carrier's time, if it tells one; the broker's counts where
    /// it does not. An event without a service takes the topic's, one without an id is named by its place.
    ///
    /// Errors: no service, no time.
    pub(super) fn event(&mut self, event: PanicEvent<'a>, sent_at: Option<Millis>) -> Result<(), Refusal> {
        let event = self.complete(event, sent_at)?;
        self.pieces.push(Piece::Event(event));
        Ok(())
    }

    /// Adds a panic whose client another topic may know, by the ray id of its request.
    ///
    /// Errors: as [`Find::event`].
    pub(super) fn awaiting(
        &mut self,
        ray: Cow<'a, str>,
        event: PanicEvent<'a>,
        sent_at: Option<Millis>,
    ) -> Result<(), Refusal> {
        let event = self.complete(event, sent_at)?;
        self.pieces.push(Piece::Awaiting { ray, event });
        Ok(())
    }

    /// Adds something that is no event by itself.
    pub(super) fn piece(&mut self, piece: Piece<'a>) {
        self.pieces.push(piece);
    }

    /// Notes that one item of several is refused; the others are read all the same.
    pub(super) fn refuse_item(&mut self, item: usize, refusal: Refusal) {
        self.n_faults += 1;
        let Refusal { reason, detail } = refusal;
        self.fault.get_or_insert_with(|| Refusal { reason, detail: format!("item {item}: {detail}") });
    }

    /// The end of the record: its pieces, and the refusal where an item of it has one.
    pub(super) fn finish(self) -> (Vec<Piece<'a>>, Option<Refusal>) {
        let Self { pieces, fault, n_faults, .. } = self;
        let told = |fault: Refusal| match n_faults {
            0 | 1 => fault,
            n => Refusal { detail: format!("{} (and {} more items)", fault.detail, n - 1), ..fault },
        };
        (pieces, fault.map(told))
    }

    /// An event with what the record and its topic know, not yet added.
    ///
    /// Errors: no service, no time.
    pub(super) fn complete(
        &self,
        mut event: PanicEvent<'a>,
        sent_at: Option<Millis>,
    ) -> Result<PanicEvent<'a>, Refusal> {
        let missing = |detail: &str| Refusal { reason: Reason::MissingKey, detail: detail.to_owned() };
        let sent_at = sent_at.or(self.around.time).or(self.record.broker_time).or(self.feed.time);
        let sent_at = sent_at.ok_or_else(|| missing("the event: neither it nor its record has a time"))?;
        (event.time, event.clock_replaced) = event_time(sent_at, self.record.broker_time);
        if event.service.is_empty() {
            if self.feed.service.is_empty() {
                return Err(missing(
                    "the event: it names no service, and its topic's configuration (source.feed.NAME.service) none",
                ));
            }
            event.service = Cow::Owned(self.feed.service.clone());
        }
        if event.tenant.is_empty() && !self.feed.tenant.is_empty() {
            event.tenant = Cow::Owned(self.feed.tenant.clone());
        }
        if event.event_id.is_empty() {
            let number = self.n_before + self.pieces.len();
            event.event_id = Cow::Owned(match (&self.around.name, number) {
                (Some(name), 0) => name.clone(),
                (Some(name), number) => format!("{name}#{number}"),
                (None, number) => format!("{}#{number}", self.record.position),
            });
        }
        event.carrier = self.carrier;
        Ok(event)
    }
}
