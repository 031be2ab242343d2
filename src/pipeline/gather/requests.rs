//! Panics and the log of the requests that met them, joined by ray id.
//!
//! Logpush tells of a Worker's panic without the client's address; the data set `http_requests` has it, on another
//! topic, earlier or later. Both wait for each other; a log serves every panic of its request. A join only fills in
//! what the panic's carrier left out.
//!
//! Limits: [`EVENTS_MAX`] panics of [`EVENT_BYTES_MAX`] bytes of body together and [`REQUESTS_MAX`] logs wait; of more
//! the oldest go: a panic goes on without its log, a log is forgotten. Cost: two map entries a piece.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::{Desk, Gathered, Place};
use crate::pipeline::decode::RequestFacts;
use crate::pipeline::event::{Client, Millis, PanicEvent};

/// Panics that wait: a storm of 100 a second over 40 s.
pub const EVENTS_MAX: usize = 4_096;

/// Bytes of body that all waiting panics have together.
pub const EVENT_BYTES_MAX: usize = 32 << 20;

/// Logs that wait, at some 300 bytes each: 1,000 requests a second over a minute.
pub const REQUESTS_MAX: usize = 65_536;

/// Most bytes of a ray id: Cloudflare's have 16 characters.
const RAY_BYTES_MAX: usize = 64;

/// What waits, by ray id.
#[derive(Debug, Default)]
pub(super) struct Requests {
    events: HashMap<Box<str>, Vec<(u64, Gathered)>>,
    events_due: VecDeque<Due>,
    n_events: usize,
    n_event_bytes: usize,
    logs: HashMap<Box<str>, (u64, Place, RequestFacts<'static>)>,
    logs_due: VecDeque<Due>,
    n_taken: u64,
}

/// When a piece stops waiting. Pieces come in the order in which they go, since all wait equally long.
#[derive(Debug)]
struct Due {
    at: Millis,
    ray: Box<str>,
    number: u64,
}

impl Requests {
    /// Takes a panic: it goes on at once if its request's log is here, else it waits `until` then.
    pub(super) fn event(
        &mut self,
        place: Place,
        (ray, event): (&str, PanicEvent<'_>),
        until: Millis,
        desk: &mut Desk<'_>,
    ) {
        let mut gathered = Gathered { place, event: event.into_owned() };
        if let Some((_, _, facts)) = self.logs.get(ray) {
            join(&mut gathered.event, facts);
            desk.counts.joined += 1;
            desk.whole.push(gathered);
            return;
        }
        desk.held.hold(&gathered.place);
        self.n_events += 1;
        self.n_event_bytes += gathered.event.request.payload.bytes().len();
        let (number, ray) = (self.number(), bounded(ray));
        self.events_due.push_back(Due { at: until, ray: ray.clone(), number });
        self.events.entry(ray).or_default().push((number, gathered));
        while self.n_events > EVENTS_MAX || self.n_event_bytes > EVENT_BYTES_MAX {
            match self.let_event_go(desk) {
                None => break,
                Some(went) => desk.counts.crowded_out += u64::from(went),
            }
        }
        // Panics that found their log leave their entries behind; these go when they outnumber the rest.
        if self.events_due.len() > 2 * EVENTS_MAX {
            let events = &self.events;
            self.events_due.retain(|due| {
                events.get(&due.ray).is_some_and(|waiting| waiting.iter().any(|(number, _)| *number == due.number))
            });
        }
    }

    /// Takes a request's log; whether it is kept, `until` then.
    pub(super) fn request(
        &mut self,
        place: Place,
        (ray, facts): (&str, RequestFacts<'_>),
        until: Millis,
        desk: &mut Desk<'_>,
    ) -> bool {
        let ray = bounded(ray);
        for (_, mut gathered) in self.events.remove(&ray).unwrap_or_default() {
            desk.held.release(&gathered.place);
            self.n_events -= 1;
            self.n_event_bytes -= gathered.event.request.payload.bytes().len();
            join(&mut gathered.event, &facts);
            desk.counts.joined += 1;
            desk.whole.push(gathered);
        }
        // The first log of a ray id counts: a second one would be a way to change what is known.
        if self.logs.contains_key(&ray) {
            return false;
        }
        desk.held.hold(&place);
        let number = self.number();
        self.logs_due.push_back(Due { at: until, ray: ray.clone(), number });
        self.logs.insert(ray, (number, place, facts.into_owned()));
        while self.logs_due.len() > REQUESTS_MAX {
            self.let_request_go(desk);
            desk.counts.crowded_out += 1;
        }
        true
    }

    /// Lets go of all that has waited until `now`.
    pub(super) fn expire(&mut self, now: Millis, desk: &mut Desk<'_>) {
        while self.events_due.front().is_some_and(|due| due.at < now) {
            self.let_event_go(desk);
        }
        while self.logs_due.front().is_some_and(|due| due.at < now) {
            self.let_request_go(desk);
        }
    }

    fn number(&mut self) -> u64 {
        self.n_taken += 1;
        self.n_taken
    }

    /// Takes the oldest entry; the panic of it goes on without its log. `None`: there was no entry; else whether its
    /// panic still waited.
    fn let_event_go(&mut self, desk: &mut Desk<'_>) -> Option<bool> {
        let due = self.events_due.pop_front()?;
        let Some(waiting) = self.events.get_mut(&due.ray) else { return Some(false) };
        let at = waiting.iter().position(|(number, _)| *number == due.number);
        if let Some(at) = at {
            let (_, gathered) = waiting.remove(at);
            desk.held.release(&gathered.place);
            self.n_events -= 1;
            self.n_event_bytes -= gathered.event.request.payload.bytes().len();
            desk.counts.missed += 1;
            desk.whole.push(gathered);
        }
        if waiting.is_empty() {
            self.events.remove(&due.ray);
        }
        Some(at.is_some())
    }

    fn let_request_go(&mut self, desk: &mut Desk<'_>) {
        let Some(due) = self.logs_due.pop_front() else { return };
        if self.logs.get(&due.ray).is_some_and(|(number, ..)| *number == due.number)
            && let Some((_, place, _)) = self.logs.remove(&due.ray)
        {
            desk.held.release(&place);
        }
    }
}

/// A ray id as a key: longer ones are no ray ids, and are told apart by their beginning.
fn bounded(ray: &str) -> Box<str> {
    ray.get(..ray.floor_char_boundary(RAY_BYTES_MAX)).unwrap_or_default().into()
}

/// Fills in what the panic's carrier left out.
fn join(event: &mut PanicEvent<'static>, facts: &RequestFacts<'_>) {
    let text = |text: &Option<Cow<'_, str>>| text.as_ref().map(|text| Cow::Owned(text.clone().into_owned()));
    let Client { ip, user_agent, asn, country } = &facts.client;
    let client = &mut event.client;
    client.ip = client.ip.or(*ip);
    client.asn = client.asn.or(*asn);
    client.country = client.country.or(*country);
    client.user_agent = client.user_agent.take().or_else(|| text(user_agent));
    event.method = event.method.take().or_else(|| text(&facts.method));
    event.path = event.path.take().or_else(|| text(&facts.path));
    event.status = event.status.or(facts.status);
}
