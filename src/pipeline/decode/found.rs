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
    pieces: Vec<Piece<'a>>,
    fault: Option<Refusal>,
    n_faults: usize,
}

impl<'r, 'a> Find<'r, 'a> {
    /// Nothing was found yet.
    pub(super) fn new(record: RawRecord<'r>, feed: &'r Feed, carrier: Carrier) -> Self {
        Self { record, feed, carrier, pieces: Vec::new(), fault: None, n_faults: 0 }
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

    fn complete(&self, mut event: PanicEvent<'a>, sent_at: Option<Millis>) -> Result<PanicEvent<'a>, Refusal> {
        let missing = |detail: &str| Refusal { reason: Reason::MissingKey, detail: detail.to_owned() };
        let sent_at = sent_at.or(self.record.broker_time);
        let sent_at = sent_at.ok_or_else(|| missing("the event: neither it nor its record has a time"))?;
        (event.time, event.clock_replaced) = event_time(sent_at, self.record.broker_time);
        if event.service.is_empty() {
            if self.feed.service.is_empty() {
                return Err(missing(
                    "the event: it names no service, and its topic's configuration (source.topic.NAME.service) none",
                ));
            }
            event.service = Cow::Owned(self.feed.service.clone());
        }
        if event.tenant.is_empty() && !self.feed.tenant.is_empty() {
            event.tenant = Cow::Owned(self.feed.tenant.clone());
        }
        if event.event_id.is_empty() {
            event.event_id = Cow::Owned(format!("{}#{}", self.record.position, self.pieces.len()));
        }
        event.carrier = self.carrier;
        Ok(event)
    }
}
