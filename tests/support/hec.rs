//! A scripted Splunk HEC server with indexer acknowledgement, for a Splunk that cannot be had here.
//!
//! It takes events as Splunk documents it: a token of its own index, concatenated envelopes, a channel where the token
//! has acknowledgement on, an `ackId` per request and channel from 0, and `true` for it once, when the request's events
//! are in the index. Between being taken and being in the index they are in a queue, which a restart may lose. On top of
//! that come literal replies in the order of a script, and faults: connections reset before or after the events are
//! taken, delays, restarts, silent loss of the state of acknowledgements, several peers behind one address.
//!
//! Texts and codes are those of `tests/data/hec/README.md`. Where Splunk's behaviour is not documented, [`Rules`] has a
//! switch.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::http::{Answer, Received, ScriptedServer};

/// An event as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// The token that it came with.
    pub(crate) token: String,
    /// The channel, if one was named.
    pub(crate) channel: Option<String>,
    /// The index that it is in.
    pub(crate) index: String,
    /// The envelope as it came.
    pub(crate) envelope: Value,
}

impl Event {
    /// The id of the alert in it, if it is one.
    pub(crate) fn alert_id(&self) -> Option<&str> {
        self.envelope["fields"]["alert_id"].as_str()
    }
}

/// What a HEC server has indexed, in order, repeats included.
#[derive(Clone, Default)]
pub(crate) struct Index(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    events: Vec<Event>,
    /// Taken, and not yet in the index.
    queue: Vec<Batch>,
}

struct Batch {
    events: Vec<Event>,
    due: Due,
    ticket: Arc<Ticket>,
}

enum Due {
    At(Instant),
    Polled,
    Never,
}

/// What an ack id stands for.
#[derive(Default)]
struct Ticket {
    is_indexed: AtomicBool,
    polls_left: AtomicU32,
}

impl Index {
    /// The ids of the alerts so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.events().iter().map(|event| event.alert_id().unwrap().to_owned()).collect()
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.settle();
        self.0.lock().unwrap().events.clone()
    }

    /// Events that are taken and not in the index.
    pub(crate) fn n_queued(&self) -> usize {
        self.settle();
        self.0.lock().unwrap().queue.iter().map(|batch| batch.events.len()).sum()
    }

    /// Takes all events of a request, whatever is in them.
    pub(crate) fn take(&self, request: &Received) {
        let events = envelopes(request).into_iter().map(|envelope| Event {
            token: token(request).unwrap_or_default(),
            channel: None,
            index: "main".to_owned(),
            envelope,
        });
        self.0.lock().unwrap().events.extend(events);
    }

    /// Moves what is due from the queue into the index.
    fn settle(&self) {
        let Stored { events, queue } = &mut *self.0.lock().unwrap();
        let now = Instant::now();
        queue.retain_mut(|batch| {
            let is_due = match batch.due {
                Due::At(at) => at <= now,
                Due::Polled => batch.ticket.polls_left.load(Ordering::Relaxed) == 0,
                Due::Never => false,
            };
            if is_due {
                events.append(&mut batch.events);
                batch.ticket.is_indexed.store(true, Ordering::Relaxed);
            }
            !is_due
        });
    }
}

/// The envelopes of a request, one after the other, as Splunk reads them.
fn envelopes(request: &Received) -> Vec<Value> {
    serde_json::Deserializer::from_str(&request.body).into_iter::<Value>().map(Result::unwrap).collect()
}

/// The ids of the alerts in a request.
pub(crate) fn ids(request: &Received) -> Vec<String> {
    envelopes(request).iter().map(|envelope| envelope["fields"]["alert_id"].as_str().unwrap().to_owned()).collect()
}

/// A literal reply of `tests/data/hec`.
pub(crate) fn reply(name: &str) -> Answer {
    let path = format!("{}/tests/data/hec/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let answer = Answer::literal(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    if serde_json::from_str::<Value>(&answer.body).is_ok() { as_json(answer) } else { answer }
}

/// An answer of HEC says what it is: Splunk's own client library does not look into it otherwise.
fn said(status: u16, body: &Value) -> Answer {
    as_json(Answer::new(status, body.to_string()))
}

fn as_json(mut answer: Answer) -> Answer {
    answer.headers.entry("content-type".to_owned()).or_insert_with(|| "application/json; charset=UTF-8".to_owned());
    answer
}

/// A token of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    /// The index of events that name none.
    pub(crate) index: String,
    /// Other indexes that its events may name.
    pub(crate) indexes: Vec<String>,
    /// Whether it has indexer acknowledgement on.
    pub(crate) acks: bool,
    /// Whether it is disabled.
    pub(crate) is_disabled: bool,
}

/// When an event that was taken is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// After this time.
    After(Duration),
    /// When its ack id has been asked for this many times; not before the first.
    AfterPolls(u32),
    /// Never: it stays in the queue.
    Never,
}

/// What becomes of acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Tokens have them off, unless a list of tokens says otherwise.
    Off,
    /// Tokens have them on, unless a list of tokens says otherwise.
    On,
    /// They are on and never come, although the events are in the index.
    Lost,
}

/// The servers behind the address, each with ack ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balancer {
    /// So many, each request to the next in turn.
    Blind(usize),
    /// So many; a cookie is handed out, and a request with it goes to the server that it names.
    Sticky(usize),
}

/// How the server behaves; may be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Tokens by value; while there is none, every token is good for the index `main`, with [`Rules::acks`].
    pub(crate) tokens: BTreeMap<String, Token>,
    /// What becomes of acknowledgements.
    pub(crate) acks: Acks,
    /// When events are in the index.
    pub(crate) indexing: Indexing,
    /// A restart loses what is not in the index yet.
    pub(crate) loses_queue: bool,
    /// The servers behind the address.
    pub(crate) balancer: Balancer,
    /// The events before an invalid one are taken.
    pub(crate) keeps_before_invalid: bool,
    /// What the health page says.
    pub(crate) is_healthy: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tokens: BTreeMap::new(),
            acks: Acks::Off,
            indexing: Indexing::After(Duration::ZERO),
            loses_queue: false,
            balancer: Balancer::Blind(1),
            keeps_before_invalid: false,
            is_healthy: true,
        }
    }
}

impl Rules {
    /// Every token has acknowledgement on.
    pub(crate) fn with_acks() -> Self {
        Self { acks: Acks::On, ..Self::default() }
    }

    fn token(&self, value: &str) -> Option<Token> {
        if self.tokens.is_empty() {
            return Some(Token { index: "main".to_owned(), acks: self.acks != Acks::Off, ..Token::default() });
        }
        self.tokens.get(value).cloned()
    }
}

/// What happens to one request instead of the ordinary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is reset before anything is done.
    CutBefore,
    /// It is done, and the connection is reset in place of the answer.
    CutAfter,
    /// It is done, and no answer comes.
    Silence,
    /// It is done, and the answer takes this long.
    Delay(Duration),
    /// This literal reply. It takes the events if its status is of class 200 and its code 0, 24 or 25; it is then given
    /// an `ackId` where one is due, unless it has that key already (`null`: the key is taken out).
    Reply(String),
}

/// A refusal: what Splunk says with this code. (Code, status, text.)
const REFUSALS: [(u16, u16, &str); 13] = [
    (1, 403, "Token disabled"),
    (2, 401, "Token is required"),
    (3, 401, "Invalid authorization"),
    (4, 403, "Invalid token"),
    (5, 400, "No data"),
    (6, 400, "Invalid data format"),
    (7, 400, "Incorrect index"),
    (10, 400, "Data channel is missing"),
    (11, 400, "Invalid data channel"),
    (12, 400, "Event field is required"),
    (13, 400, "Event field cannot be blank"),
    (14, 400, "ACK is disabled"),
    (15, 400, "Error in handling indexed fields"),
];

fn refusal(code: u16) -> Answer {
    refusal_of(code, None)
}

/// `at`: the number of the event at fault, from 0.
fn refusal_of(code: u16, at: Option<usize>) -> Answer {
    let (_, status, text) = REFUSALS.iter().find(|(known, _, _)| *known == code).unwrap();
    let mut body = json!({"text": text, "code": code});
    if let Some(at) = at {
        body["invalid-event-number"] = at.into();
    }
    said(*status, &body)
}

type AckTable = BTreeMap<String, Channel>;

#[derive(Default)]
struct Channel {
    next_id: u64,
    tickets: BTreeMap<u64, Arc<Ticket>>,
}

#[derive(Default)]
struct State {
    rules: Rules,
    for_events: VecDeque<Fault>,
    for_acks: VecDeque<Fault>,
    /// Ack ids of each peer.
    peers: Vec<AckTable>,
    /// The peer of the next request without a cookie.
    turn: usize,
    /// Counts restarts: cookies of earlier ones are not known.
    epoch: u32,
}

/// A running server; ends when it is dropped.
pub(crate) struct HecServer {
    server: ScriptedServer,
    state: Arc<Mutex<State>>,
    index: Index,
}

/// Starts a server without acknowledgement that gives the named literal replies first to requests with events.
pub(crate) async fn start(script: &[&str]) -> (HecServer, Index) {
    start_at("127.0.0.1:0".parse().unwrap(), script).await
}

/// The same on an address that is known before.
pub(crate) async fn start_at(address: SocketAddr, script: &[&str]) -> (HecServer, Index) {
    let server = HecServer::start_at(address, Rules::default()).await;
    for name in script {
        server.next_events(Fault::Reply((*name).to_owned()));
    }
    let index = server.index();
    (server, index)
}

impl HecServer {
    /// Starts a server with these rules.
    pub(crate) async fn start(rules: Rules) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), rules).await
    }

    /// The same on an address that is known before.
    pub(crate) async fn start_at(address: SocketAddr, rules: Rules) -> Self {
        let index = Index::default();
        let state = Arc::new(Mutex::new(State { rules, ..State::default() }));
        let (of_server, into) = (Arc::clone(&state), index.clone());
        let server =
            ScriptedServer::start_at(address, move |_, request| of_server.lock().unwrap().answer(&into, request)).await;
        Self { server, state, index }
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Every request so far, those for acknowledgements and health included.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.server.received()
    }

    /// How many they are.
    pub(crate) fn n_received(&self) -> usize {
        self.server.n_received()
    }

    /// What it has indexed.
    pub(crate) fn index(&self) -> Index {
        self.index.clone()
    }

    /// Changes the rules for what comes.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state.lock().unwrap().rules);
    }

    /// What happens to the next request with events for which nothing is planned yet.
    pub(crate) fn next_events(&self, fault: Fault) {
        self.state.lock().unwrap().for_events.push_back(fault);
    }

    /// What happens to the next question for acknowledgements for which nothing is planned yet.
    pub(crate) fn next_acks(&self, fault: Fault) {
        self.state.lock().unwrap().for_acks.push_back(fault);
    }

    /// Nothing is planned any more.
    pub(crate) fn calm(&self) {
        let mut state = self.state.lock().unwrap();
        state.for_events.clear();
        state.for_acks.clear();
    }

    /// Loses the state of acknowledgements as a restart does, behind connections that stay: ids begin at 0 again, and
    /// what was given out before may stand for something else.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.peers.clear();
        state.epoch += 1;
        if state.rules.loses_queue {
            self.index.settle();
            self.index.0.lock().unwrap().queue.clear();
        }
    }

    /// Nobody listens any more; connections break; the state of acknowledgements is lost.
    pub(crate) async fn stop(&mut self) {
        self.server.stop().await;
        self.forget();
    }

    /// Listens again, on the same address.
    pub(crate) async fn start_again(&mut self) {
        self.server.start_again().await;
    }

    /// Both.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }
}

impl State {
    fn answer(&mut self, index: &Index, request: &Received) -> Answer {
        index.settle();
        let path = request.path.split('?').next().unwrap().trim_end_matches("/1.0");
        match path {
            "/services/collector/health" => self.health(),
            "/services/collector/ack" => {
                let fault = self.for_acks.pop_front();
                self.under(fault, |state| state.acks(index, request), |_, _| None)
            }
            "/services/collector" | "/services/collector/event" => {
                let fault = self.for_events.pop_front();
                let keep = |state: &mut Self, reply: Answer| state.keep_by(reply, index, request);
                self.under(fault, |state| state.events(index, request), keep)
            }
            _ => said(404, &json!({"text": "The requested URL was not found on this server.", "code": 404})),
        }
    }

    /// Does what is to be done, under a fault; `keep` sees to a literal reply.
    fn under(
        &mut self,
        fault: Option<Fault>,
        act: impl FnOnce(&mut Self) -> Answer,
        keep: impl FnOnce(&mut Self, Answer) -> Option<Answer>,
    ) -> Answer {
        match fault {
            None => act(self),
            Some(Fault::CutBefore) => Answer::default().cut(),
            Some(Fault::CutAfter) => act(self).cut(),
            Some(Fault::Silence) => Answer { never: true, ..act(self) },
            Some(Fault::Delay(delay)) => Answer { delay, ..act(self) },
            Some(Fault::Reply(name)) => {
                let reply = reply(&name);
                keep(self, reply.clone()).unwrap_or(reply)
            }
        }
    }

    fn health(&self) -> Answer {
        let (status, text, code) = if self.rules.is_healthy {
            (200, "HEC is healthy", 17)
        } else {
            (503, "HEC is unhealthy, queues are full", 18)
        };
        said(status, &json!({"text": text, "code": code}))
    }

    /// The token of a request, or why there is none.
    fn authorized(&self, request: &Received) -> Result<(String, Token), Answer> {
        let header = request.headers.get("authorization").ok_or_else(|| refusal(2))?;
        let value = header.strip_prefix("Splunk ").ok_or_else(|| refusal(3))?;
        let token = self.rules.token(value).ok_or_else(|| refusal(4))?;
        if token.is_disabled { Err(refusal(1)) } else { Ok((value.to_owned(), token)) }
    }

    /// The peer that a request goes to, and the cookie that is handed out on the way.
    fn peer(&mut self, request: &Received) -> (usize, Option<String>) {
        let (n_peers, is_sticky) = match self.rules.balancer {
            Balancer::Blind(n) => (n, false),
            Balancer::Sticky(n) => (n, true),
        };
        self.peers.resize_with(n_peers, AckTable::default);
        let cookies = request.headers.get("cookie").map_or("", String::as_str);
        let named = (0..n_peers).find(|peer| cookies.contains(&cookie(self.epoch, *peer)));
        if let Some(peer) = named.filter(|_| is_sticky) {
            return (peer, None);
        }
        let peer = self.turn % n_peers;
        self.turn += 1;
        (peer, is_sticky.then(|| cookie(self.epoch, peer)))
    }

    fn events(&mut self, index: &Index, request: &Received) -> Answer {
        let (peer, cookie) = self.peer(request);
        let answer = match self.taken(index, request, peer) {
            Ok(None) => said(200, &json!({"text": "Success", "code": 0})),
            Ok(Some(id)) => said(200, &json!({"text": "Success", "code": 0, "ackId": id})),
            Err(refusal) => refusal,
        };
        with_cookie(answer, cookie)
    }

    /// A literal reply to events: takes them if it says so, and tells the ack id.
    fn keep_by(&mut self, reply: Answer, index: &Index, request: &Received) -> Option<Answer> {
        let mut body: Value = serde_json::from_str(&reply.body).ok()?;
        let takes = (200..300).contains(&reply.status) && [0, 24, 25].map(Value::from).contains(&body["code"]);
        if !takes {
            return None;
        }
        let (peer, cookie) = self.peer(request);
        let id = self.taken(index, request, peer).ok()?;
        let body_of = body.as_object_mut()?;
        match (body_of.get("ackId"), id) {
            (None, Some(id)) => drop(body_of.insert("ackId".to_owned(), id.into())),
            (Some(Value::Null), _) => drop(body_of.remove("ackId")),
            _ => {}
        }
        Some(with_cookie(Answer { body: body.to_string(), ..reply }, cookie))
    }

    /// Takes the events of a request; the ack id, if one is due.
    fn taken(&mut self, index: &Index, request: &Received, peer: usize) -> Result<Option<u64>, Answer> {
        let (value, token) = self.authorized(request)?;
        let channel = channel(request);
        if token.acks {
            check_channel(channel.as_deref())?;
        }
        let origin =
            Event { token: value, channel: channel.clone(), index: token.index.clone(), envelope: Value::Null };
        let (events, refusal) = read_events(request, &token, &origin);
        if let Some(refusal) = refusal.clone().filter(|_| !self.rules.keeps_before_invalid) {
            return Err(refusal);
        }
        let ticket = Arc::<Ticket>::default();
        let due = match self.rules.indexing {
            Indexing::After(time) => Due::At(Instant::now() + time),
            Indexing::AfterPolls(n) => {
                ticket.polls_left.store(n.max(1), Ordering::Relaxed);
                Due::Polled
            }
            Indexing::Never => Due::Never,
        };
        index.0.lock().unwrap().queue.push(Batch { events, due, ticket: Arc::clone(&ticket) });
        index.settle();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let Some(channel) = channel.filter(|_| token.acks) else { return Ok(None) };
        let channel = self.peers[peer].entry(channel).or_default();
        let id = channel.next_id;
        channel.next_id += 1;
        channel.tickets.insert(id, ticket);
        Ok(Some(id))
    }

    fn acks(&mut self, index: &Index, request: &Received) -> Answer {
        let (peer, cookie) = self.peer(request);
        with_cookie(self.acknowledged(index, request, peer).unwrap_or_else(|refusal| refusal), cookie)
    }

    fn acknowledged(&mut self, index: &Index, request: &Received, peer: usize) -> Result<Answer, Answer> {
        let (_, token) = self.authorized(request)?;
        if !token.acks {
            return Err(refusal(14));
        }
        let channel = channel(request);
        check_channel(channel.as_deref())?;
        let asked: Value = serde_json::from_str(&request.body).map_err(|_| refusal(6))?;
        let asked = asked["acks"].as_array().filter(|ids| !ids.is_empty()).ok_or_else(|| refusal(6))?;
        let channel = self.peers[peer].entry(channel.unwrap()).or_default();
        let mut told = serde_json::Map::new();
        for id in asked {
            let id = id.as_u64().ok_or_else(|| refusal(6))?;
            if let Some(ticket) = channel.tickets.get(&id) {
                let left = ticket.polls_left.load(Ordering::Relaxed);
                ticket.polls_left.store(left.saturating_sub(1), Ordering::Relaxed);
            }
            index.settle();
            let is_indexed = channel.tickets.get(&id).is_some_and(|ticket| ticket.is_indexed.load(Ordering::Relaxed));
            let is_told = is_indexed && self.rules.acks != Acks::Lost;
            if is_told {
                // Told once: asked again, it is as if the id had never been.
                channel.tickets.remove(&id);
            }
            told.insert(id.to_string(), is_told.into());
        }
        Ok(said(200, &json!({"acks": told})))
    }
}

fn cookie(epoch: u32, peer: usize) -> String {
    format!("peer={epoch}.{peer}.")
}

fn with_cookie(mut answer: Answer, cookie: Option<String>) -> Answer {
    if let Some(cookie) = cookie {
        answer.headers.insert("set-cookie".to_owned(), format!("{cookie}; Path=/"));
    }
    answer
}

fn token(request: &Received) -> Option<String> {
    request.headers.get("authorization")?.strip_prefix("Splunk ").map(str::to_owned)
}

/// The channel that a request names in its header or its query.
fn channel(request: &Received) -> Option<String> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("channel=")).map(str::to_owned);
    request.headers.get("x-splunk-request-channel").cloned().or(in_query)
}

/// A channel is a GUID: 32 hexadecimal digits in groups of 8, 4, 4, 4, 12.
fn check_channel(channel: Option<&str>) -> Result<(), Answer> {
    let channel = channel.ok_or_else(|| refusal(10))?;
    let groups: Vec<usize> = channel.split('-').map(str::len).collect();
    let is_hex = channel.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if groups == [8, 4, 4, 4, 12] && is_hex { Ok(()) } else { Err(refusal(11)) }
}

/// The events of a request up to the first that is wrong, and what is wrong with that one.
fn read_events(request: &Received, token: &Token, origin: &Event) -> (Vec<Event>, Option<Answer>) {
    let mut events = Vec::new();
    for (at, envelope) in serde_json::Deserializer::from_str(&request.body).into_iter::<Value>().enumerate() {
        match envelope.map_err(|_| 6).and_then(|envelope| read_event(envelope, token, origin)) {
            Ok(event) => events.push(event),
            Err(code) => return (events, Some(refusal_of(code, Some(at)))),
        }
    }
    let refusal = events.is_empty().then(|| refusal(5));
    (events, refusal)
}

fn read_event(envelope: Value, token: &Token, origin: &Event) -> Result<Event, u16> {
    if !envelope.is_object() {
        return Err(6);
    }
    match &envelope["event"] {
        Value::Null => return Err(12),
        Value::String(text) if text.is_empty() => return Err(13),
        _ => {}
    }
    let is_flat = envelope["fields"].as_object().is_none_or(|fields| fields.values().all(|value| !value.is_object()));
    if !is_flat {
        return Err(15);
    }
    let index = envelope["index"].as_str().unwrap_or(&origin.index).to_owned();
    // A token without a list of its own takes every index.
    if !token.indexes.is_empty() && index != token.index && !token.indexes.contains(&index) {
        return Err(7);
    }
    Ok(Event { index, envelope, ..origin.clone() })
}
