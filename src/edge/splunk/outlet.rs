//! HEC with indexer acknowledgement, over the network.
//!
//! Takes alerts, hands them over on a channel, asks later whether they are indexed. What is not known to be taken is
//! never told as taken: an answer without an acknowledgement number counts only where the collector has said that it
//! gives none. What a number means, and when it means nothing any more, is [`super::acks`]'s business.
//!
//! Three modes. `off`: HEC as it is without channels; answered with code 0 is delivered. `auto`: the collector is asked
//! at the start whether the token acknowledges, and the log and a metric tell which it is; a token that stops
//! acknowledging is said loudly, and what waited is sent again. `required`: nothing is sent to a token that does not.
//!
//! One question and its answer at a time; what came of it is told before the next.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::acks::{AckBook, AckTimes, Lost, Question, Receipt, Voice};
use super::{Class, Said, SplunkWire, class, not_acknowledged};
use crate::edge::admin;
use crate::edge::deliver::{
    HttpClient, Outlet, Polled, Polling, Reading, Reply, Request, Sending, Ticket, Wire, words,
};
use crate::pipeline::alert::Alert;

/// Where HEC tells what is indexed.
const ACK_PATH: &str = "/services/collector/ack";

/// The header that names the channel.
const CHANNEL_HEADER: &str = "x-splunk-request-channel";

/// Longest wait between two questions that got no answer.
const TROUBLE_WAIT_MAX: Duration = Duration::from_secs(30);

/// So many answers in a row that ought to bear an acknowledgement number and do not, or that do not like the channel,
/// are no accident.
const ODD_ANSWERS_MAX: u32 = 4;

/// Whether acknowledgement is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AckMode {
    /// Where the token gives it.
    #[default]
    Auto,
    /// Always: without it nothing is sent.
    Required,
    /// Never.
    Off,
}

/// What is known of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Acknowledges,
    DoesNot,
}

/// A Splunk destination.
pub struct SplunkOutlet {
    name: String,
    wire: SplunkWire,
    client: HttpClient,
    mode: AckMode,
    times: AckTimes,
    book: AckBook,
    known: Known,
    /// The question of the start was asked.
    is_started: bool,
    /// Answers in a row that were odd.
    n_odd: u32,
    /// Questions in a row without an answer, and the time before which none is asked.
    n_troubles: u32,
    not_before: Option<Instant>,
}

/// What an answer to a question for acknowledgements says.
enum Told {
    /// These are indexed.
    Indexed(Vec<u64>),
    /// The token does not acknowledge.
    Disabled(String),
    /// The channel is not known.
    NoChannel(String),
    /// It could not be found out.
    Trouble(Reading),
}

#[derive(Deserialize)]
struct AckAnswer {
    acks: BTreeMap<String, bool>,
}

impl SplunkOutlet {
    /// The destination `name` over this client.
    pub fn new(name: &str, wire: SplunkWire, client: HttpClient, (mode, times): (AckMode, AckTimes)) -> Self {
        Self {
            name: name.to_owned(),
            wire,
            client,
            mode,
            times,
            book: AckBook::new(times),
            known: Known::Nothing,
            is_started: false,
            n_odd: 0,
            n_troubles: 0,
            not_before: None,
        }
    }

    async fn hand_over(&mut self, alerts: &[Alert]) -> Reading {
        if self.mode == AckMode::Required
            && self.known != Known::Acknowledges
            && let Some(trouble) = self.ask_whether().await
        {
            return trouble;
        }
        let mut request = self.wire.encode(alerts);
        let mut tried = Vec::new();
        let mut kept: Option<Reading> = None;
        while let Some(at) = self.client.choose(&tried) {
            tried.push(at);
            let voice = self.book.voice(at, now(), random_guid);
            request.headers = headers(&voice);
            let (reading, is_failure) = match self.client.at(at, &request).await {
                Ok(reply) => self.read(&reply, alerts.len()),
                Err(reading) => {
                    // It may have been taken, and given a number.
                    self.book.unsure(at);
                    (reading, true)
                }
            };
            if !is_failure {
                self.client.is_well(at);
                return reading;
            }
            self.client.failed(at, reading.why().unwrap_or_default());
            if matches!(reading, Reading::Retry { slow_down: true, .. }) {
                return reading;
            }
            if kept.is_none() || !matches!(reading, Reading::Hold { .. }) {
                kept = Some(reading);
            }
        }
        kept.unwrap_or_else(|| Reading::Hold { why: "no address is configured".to_owned() })
    }

    /// What a reply to a request comes to, and whether another endpoint may do better.
    fn read(&mut self, reply: &Reply, n_sent: usize) -> (Reading, bool) {
        let said = Said::parse(&reply.body);
        let kind = class(reply.status, said.code);
        let reading = match kind {
            Class::Accepted | Class::AcceptedSlowDown => {
                if said.code == Some(25) {
                    self.book.hurry(reply.endpoint);
                }
                return (self.read_success(reply, &said, kind == Class::AcceptedSlowDown), false);
            }
            Class::Acknowledgement if said.code == Some(14) => return (self.disabled(&said.text), false),
            Class::Acknowledgement => return (self.other_channel(reply, &said), false),
            _ => self.wire.read(reply, n_sent),
        };
        if said.code == Some(27) {
            self.book.hurry(reply.endpoint);
        }
        if said.code.is_none() && !matches!(reading, Reading::TooLarge { .. }) {
            // Somebody in between answered: what the collector did is not known.
            self.book.unsure(reply.endpoint);
        }
        let is_failure = matches!(reading, Reading::Retry { .. });
        (reading, is_failure)
    }

    fn read_success(&mut self, reply: &Reply, said: &Said, slow_down: bool) -> Reading {
        let Some(id) = said.ack_id() else { return self.read_unnumbered(reply, said, slow_down) };
        self.learn(Known::Acknowledges);
        self.n_odd = 0;
        match self.book.taken(reply, id, now()) {
            Ok(ticket) => Reading::Pending { ticket, slow_down },
            Err(Lost::Changed(why)) => {
                tracing::warn!(destination = self.name, why, "acknowledgements are lost; what waited is sent again");
                Reading::Retry { why, after: None, slow_down: false }
            }
            Err(Lost::Unsteady(why)) => Reading::Hold { why },
        }
    }

    /// Taken without a number. That is an answer only where none is expected.
    fn read_unnumbered(&mut self, reply: &Reply, said: &Said, slow_down: bool) -> Reading {
        let is_expected = self.known == Known::Acknowledges || self.mode == AckMode::Required;
        if !is_expected {
            self.learn(Known::DoesNot);
            return Reading::Accepted { slow_down, receipt: not_acknowledged(reply, said.code) };
        }
        self.book.unsure(reply.endpoint);
        // Whether the token acknowledges is asked again before the next request; only a plain no makes "answered" enough.
        self.is_started = false;
        if self.mode == AckMode::Required {
            self.known = Known::Nothing;
        }
        let why = format!("{} took a request without an acknowledgement number", self.client.name(reply.endpoint));
        self.odd(why, "the token gives them; see whether all indexers know the token alike")
    }

    /// The collector does not like our channel.
    fn other_channel(&mut self, reply: &Reply, said: &Said) -> Reading {
        self.book.unsure(reply.endpoint);
        let why =
            format!("HTTP {}, code {}: {}", reply.status, said.code.unwrap_or_default(), words(said.text.as_bytes()));
        self.odd(why, "a channel of ours was sent; see whether a proxy takes the header x-splunk-request-channel away")
    }

    /// Tries again, but not for ever.
    fn odd(&mut self, why: String, advice: &str) -> Reading {
        self.n_odd = self.n_odd.saturating_add(1);
        if self.n_odd < ODD_ANSWERS_MAX {
            return Reading::Retry { why, after: None, slow_down: false };
        }
        Reading::Hold { why: format!("{why}; {advice}") }
    }

    /// Code 14. What waits is not taken for delivered: it is sent again.
    fn disabled(&mut self, text: &str) -> Reading {
        self.book.lose_all("the token does not acknowledge any more");
        if self.mode == AckMode::Required {
            self.known = Known::Nothing;
            let why = format!(
                "{}; ack = \"required\": switch it on for the token, or set ack = \"auto\"",
                words(text.as_bytes())
            );
            admin::gauge_splunk_ack(&self.name, false);
            return Reading::Hold { why };
        }
        self.learn(Known::DoesNot);
        Reading::Retry { why: words(text.as_bytes()), after: None, slow_down: false }
    }

    /// Tells log and metric which it is, when that is new.
    fn learn(&mut self, known: Known) {
        if self.known == known {
            return;
        }
        let before = std::mem::replace(&mut self.known, known);
        let is_on = known == Known::Acknowledges;
        admin::gauge_splunk_ack(&self.name, is_on);
        match (is_on, before) {
            (true, _) => tracing::info!(destination = self.name, "indexer acknowledgement is on"),
            (false, Known::Acknowledges) => {
                tracing::warn!(
                    destination = self.name,
                    "indexer acknowledgement was switched off: \"answered\" is all we know now"
                );
            }
            (false, _) => {
                tracing::info!(destination = self.name, "indexer acknowledgement is off: \"answered\" is all we know");
            }
        }
    }

    /// Asks whether the token acknowledges, without sending anything. Gives what stands against it.
    async fn ask_whether(&mut self) -> Option<Reading> {
        let at = self.client.choose(&[])?;
        let voice = self.book.voice(at, now(), random_guid);
        // Nothing has this number yet: the answer is "false", or that there are no acknowledgements.
        let question = Question { endpoint: at, epoch: 0, voice, ids: vec![0] };
        match self.ask(&question).await {
            Told::Indexed(_) => {
                self.client.is_well(at);
                self.learn(Known::Acknowledges);
                None
            }
            Told::Disabled(text) => Some(self.disabled(&text)),
            Told::NoChannel(why) => Some(Reading::Retry { why, after: None, slow_down: false }),
            Told::Trouble(reading) => {
                if matches!(reading, Reading::Retry { .. }) {
                    self.client.failed(at, reading.why().unwrap_or_default());
                }
                Some(reading)
            }
        }
    }

    async fn ask(&mut self, question: &Question) -> Told {
        let body = serde_json::json!({"acks": question.ids}).to_string().into_bytes();
        let request = Request {
            path: format!("{ACK_PATH}?channel={}", question.voice.channel),
            content_type: "application/json",
            headers: headers(&question.voice),
            body,
            ..Request::default()
        };
        let reply = match self.client.at(question.endpoint, &request).await {
            Ok(reply) => reply,
            Err(reading) => return Told::Trouble(reading),
        };
        if let Err(Lost::Changed(why) | Lost::Unsteady(why)) = self.book.same_session(&reply) {
            return Told::Trouble(Reading::Retry { why, after: None, slow_down: false });
        }
        if reply.status == 200
            && let Ok(answer) = serde_json::from_slice::<AckAnswer>(&reply.body)
        {
            let indexed = answer.acks.iter().filter(|(_, is_indexed)| **is_indexed);
            return Told::Indexed(indexed.filter_map(|(id, _)| id.parse().ok()).collect());
        }
        let said = Said::parse(&reply.body);
        match (class(reply.status, said.code), said.code) {
            (Class::Acknowledgement, Some(14)) => Told::Disabled(said.text),
            (Class::Acknowledgement, _) => Told::NoChannel(words(said.text.as_bytes())),
            (Class::Hold, _) => Told::Trouble(self.wire.read(&reply, 0)),
            _ => {
                let why = format!("HTTP {}, no answer about acknowledgements: {}", reply.status, words(&reply.body));
                Told::Trouble(Reading::Retry { why, after: None, slow_down: false })
            }
        }
    }

    async fn look(&mut self) -> Polled {
        let mut polled = Polled::default();
        if !self.is_started {
            self.is_started = true;
            let trouble = self.ask_whether().await;
            // With `auto`, the first answer to a request will tell.
            polled.trouble = trouble.filter(|_| self.mode == AckMode::Required);
            return polled;
        }
        let retry = |why| Reading::Retry { why, after: None, slow_down: false };
        polled.told = self.book.overdue(now()).into_iter().map(|(ticket, why)| (ticket, retry(why))).collect();
        if !polled.told.is_empty() {
            return polled;
        }
        let Some(question) = self.book.question(now()) else { return polled };
        let told = self.ask(&question).await;
        if !matches!(told, Told::Trouble(_)) {
            (self.n_troubles, self.not_before) = (0, None);
        }
        match told {
            Told::Indexed(ids) => {
                let told = self.book.acknowledged(&question, &ids);
                polled.told = told.into_iter().map(|(ticket, receipt)| self.accepted(ticket, &receipt)).collect();
            }
            Told::Disabled(text) => polled.trouble = Some(self.disabled(&text)),
            Told::NoChannel(why) => self.book.lose(question.endpoint, &why),
            Told::Trouble(reading) => {
                let doublings = self.n_troubles.min(16);
                self.n_troubles = self.n_troubles.saturating_add(1);
                let wait = self.times.poll.saturating_mul(1 << doublings).min(TROUBLE_WAIT_MAX.max(self.times.poll));
                self.not_before = now().checked_add(wait);
                polled.trouble = Some(said_of_acks(reading));
            }
        }
        polled
    }

    fn accepted(&self, ticket: Ticket, receipt: &Receipt) -> (Ticket, Reading) {
        let endpoint = self.client.name(receipt.endpoint);
        let receipt = format!("{endpoint} channel {} ack {}", receipt.channel, receipt.id);
        (ticket, Reading::Accepted { slow_down: false, receipt })
    }
}

impl Outlet for SplunkOutlet {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            if self.mode != AckMode::Off {
                return self.hand_over(alerts).await;
            }
            let request = self.wire.encode(alerts);
            self.client.deliver(&request, |reply| self.wire.read(reply, alerts.len())).await
        })
    }

    fn poll(&mut self) -> Polling<'_> {
        Box::pin(self.look())
    }

    fn next_poll(&self) -> Option<Duration> {
        if self.mode == AckMode::Off {
            return None;
        }
        if !self.is_started {
            return Some(Duration::ZERO);
        }
        let now = now();
        let due = self.book.next(now)?;
        Some(self.not_before.map_or(due, |at| due.max(at.saturating_duration_since(now))))
    }
}

/// Trouble with the question is not trouble with the alerts; it says which it is.
fn said_of_acks(reading: Reading) -> Reading {
    let said = |why: &str| format!("acknowledgements cannot be asked for: {why}");
    match reading {
        Reading::Hold { why } => Reading::Hold { why: said(&why) },
        other => Reading::Retry { why: said(other.why().unwrap_or_default()), after: None, slow_down: false },
    }
}

fn headers(voice: &Voice) -> Vec<(&'static str, String)> {
    let mut headers = vec![(CHANNEL_HEADER, voice.channel.to_string())];
    headers.extend(voice.cookie.iter().map(|cookie| ("cookie", cookie.clone())));
    headers
}

/// A GUID as the collector wants one (RFC 9562, version 4).
fn random_guid() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let word = || RandomState::new().build_hasher().finish().to_ne_bytes();
        for (byte, random) in bytes.iter_mut().zip(word().into_iter().chain(word())) {
            *byte = random;
        }
    }
    let number = u128::from_be_bytes(bytes);
    // Version and variant are 6 bits in fixed places.
    let number = number & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let mut guid = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            guid.push('-');
        }
        guid.push(digit);
    }
    guid
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long an acknowledgement has been waited for is a fact of this machine"
)]
fn now() -> Instant {
    Instant::now()
}
