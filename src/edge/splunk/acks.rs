//! The book of requests that the collector took and has not acknowledged yet.
//!
//! Pure: time, replies and random names are passed in. An acknowledgement is a number that means something only to the
//! indexer that gave it, on the channel that it was given on, until that indexer is started again. So each is kept under
//! endpoint, channel, epoch and number, and asked for at the endpoint that gave it. `false` may mean pending, lost or
//! never heard of; `true` is said once.
//!
//! What is never done: to take a `true` for a request that it may not be about. A session that changed (another cookie of
//! a load balancer, another peer) or a number that does not go up means that numbers may stand for something else:
//! everything waiting at that endpoint is sent again, and so is the request at hand, on a channel with a new name. After
//! a request whose outcome is not known (a number may have been given that we never saw), a channel with a new name is
//! used as well; what waits on the old one keeps waiting there, for nothing new will ever be given on it. What is not
//! acknowledged in time is sent again. All of it under the same event ids: a repeat can be folded, a gap cannot.
//!
//! A balancer that changes the session again and again would have everything sent for ever: after
//! [`CHANGES_IN_A_ROW_MAX`] changes without one acknowledgement in between that is said, and the lane goes on hold.
//!
//! Bounded by the lane's window. Costs a look into small maps a request.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::deliver::{Reply, Ticket};

/// A channel on which nothing waits is not used again after this time: collectors clean up after 10 minutes
/// (`maxIdleTime`), and numbers would begin again.
const CHANNEL_IDLE_MAX: Duration = Duration::from_mins(5);

/// So many changes of the session without an acknowledgement are no accident.
const CHANGES_IN_A_ROW_MAX: u32 = 4;

/// Numbers in one question.
const QUESTION_IDS_MAX: usize = 1_000;

/// Cookies that are kept for an endpoint.
const COOKIES_MAX: usize = 16;

/// When to ask, and when to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckTimes {
    /// Time between two questions on a channel.
    pub poll: Duration,
    /// After this time without an acknowledgement a request is sent again.
    pub timeout: Duration,
}

impl Default for AckTimes {
    /// Every 2 s; 5 minutes, as Splunk advises.
    fn default() -> Self {
        Self { poll: Duration::from_secs(2), timeout: Duration::from_mins(5) }
    }
}

/// Under which name a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Voice {
    /// The channel.
    pub(super) channel: Arc<str>,
    /// What the load balancer wants to hear.
    pub(super) cookie: Option<String>,
}

/// What to ask, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) endpoint: usize,
    pub(super) epoch: u64,
    pub(super) voice: Voice,
    pub(super) ids: Vec<u64>,
}

/// Where an acknowledgement comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) endpoint: usize,
    pub(super) channel: Arc<str>,
    pub(super) id: u64,
}

/// Why a request that the collector took must be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The session is another one; a new channel is used.
    Changed(String),
    /// It changes again and again.
    Unsteady(String),
}

#[derive(Debug)]
struct Channel {
    endpoint: usize,
    name: Arc<str>,
    /// The last number that was given.
    last_id: Option<u64>,
    used: Instant,
    asked: Option<Instant>,
    /// The collector is running out of room for acknowledgements: it is asked as soon as can be.
    is_urgent: bool,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    since: Instant,
}

/// What is known of an endpoint's session.
#[derive(Debug, Default)]
struct Session {
    cookies: BTreeMap<String, String>,
    peer: Option<SocketAddr>,
    /// The epoch of the channel in use.
    epoch: Option<u64>,
}

/// The book.
#[derive(Debug)]
pub(super) struct AckBook {
    times: AckTimes,
    sessions: BTreeMap<usize, Session>,
    /// By epoch; every new channel is a new epoch.
    channels: BTreeMap<u64, Channel>,
    n_channels: u64,
    n_tickets: u64,
    n_changes: u32,
    /// To be sent again, and why.
    lost: Vec<(Ticket, String)>,
}

impl AckBook {
    pub(super) fn new(times: AckTimes) -> Self {
        Self {
            times,
            sessions: BTreeMap::new(),
            channels: BTreeMap::new(),
            n_channels: 0,
            n_tickets: 0,
            n_changes: 0,
            lost: Vec::new(),
        }
    }

    /// The channel to use at an endpoint; `name` makes the name of a new one.
    pub(super) fn voice(&mut self, endpoint: usize, now: Instant, name: impl FnOnce() -> String) -> Voice {
        let session = self.sessions.entry(endpoint).or_default();
        let in_use = session.epoch.and_then(|epoch| self.channels.get_mut(&epoch)).filter(|channel| {
            !channel.waiting.is_empty() || now.saturating_duration_since(channel.used) < CHANNEL_IDLE_MAX
        });
        let cookie = cookie_header(&session.cookies);
        if let Some(channel) = in_use {
            channel.used = now;
            return Voice { channel: Arc::clone(&channel.name), cookie };
        }
        self.n_channels = self.n_channels.saturating_add(1);
        let name: Arc<str> = name().into();
        let channel = Channel {
            endpoint,
            name: Arc::clone(&name),
            last_id: None,
            used: now,
            asked: None,
            is_urgent: false,
            waiting: BTreeMap::new(),
        };
        session.epoch = Some(self.n_channels);
        self.channels.insert(self.n_channels, channel);
        self.sweep();
        Voice { channel: name, cookie }
    }

    /// The collector took a request, and gave it a number.
    pub(super) fn taken(&mut self, reply: &Reply, id: u64, now: Instant) -> Result<Ticket, Lost> {
        let endpoint = reply.endpoint;
        self.same_session(reply)?;
        let session = self.sessions.entry(endpoint).or_default();
        let Some(channel) = session.epoch.and_then(|epoch| self.channels.get_mut(&epoch)) else {
            return Err(Lost::Changed("an acknowledgement number on no channel of ours".to_owned()));
        };
        if let Some(last) = channel.last_id.filter(|last| id <= *last) {
            let why =
                format!("acknowledgement number {id} came after {last}: another indexer, or one that was restarted");
            return Err(self.change(endpoint, why));
        }
        self.n_tickets = self.n_tickets.saturating_add(1);
        let ticket = Ticket(self.n_tickets);
        channel.last_id = Some(id);
        channel.waiting.insert(id, Waiting { ticket, since: now });
        Ok(ticket)
    }

    /// Looks whether a reply comes from where the earlier ones came from. A channel that nothing was given on yet takes
    /// the session as it is.
    pub(super) fn same_session(&mut self, reply: &Reply) -> Result<(), Lost> {
        let endpoint = reply.endpoint;
        let session = self.sessions.entry(endpoint).or_default();
        let mut changed = None;
        for (name, value) in reply.cookies.iter().filter_map(|cookie| cookie.split_once('=')) {
            if session.cookies.get(name).is_none_or(|known| known != value) {
                changed = Some("the load balancer gave another session".to_owned());
                if session.cookies.len() < COOKIES_MAX || session.cookies.contains_key(name) {
                    session.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        if let (Some(known), Some(peer)) = (session.peer, reply.peer)
            && known != peer
        {
            changed = Some(format!("{peer} answers in place of {known}"));
        }
        session.peer = reply.peer.or(session.peer);
        let Some(why) = changed else { return Ok(()) };
        let is_used = |channel: &Channel| channel.endpoint == endpoint && channel.last_id.is_some();
        if self.channels.values().any(is_used) { Err(self.change(endpoint, why)) } else { Ok(()) }
    }

    /// What became of a request on the channel in use is not known, or the channel is not liked: a new one from now on.
    pub(super) fn unsure(&mut self, endpoint: usize) {
        if let Some(session) = self.sessions.get_mut(&endpoint) {
            session.epoch = None;
        }
        self.sweep();
    }

    /// Everything that waits at an endpoint is to be sent again.
    pub(super) fn lose(&mut self, endpoint: usize, why: &str) {
        for channel in self.channels.values_mut().filter(|channel| channel.endpoint == endpoint) {
            let waiting = std::mem::take(&mut channel.waiting);
            self.lost.extend(waiting.into_values().map(|waiting| (waiting.ticket, why.to_owned())));
        }
        self.unsure(endpoint);
    }

    /// Everything that waits anywhere is to be sent again.
    pub(super) fn lose_all(&mut self, why: &str) {
        let endpoints: BTreeSet<usize> = self.channels.values().map(|channel| channel.endpoint).collect();
        for endpoint in endpoints {
            self.lose(endpoint, why);
        }
    }

    /// What is to be sent again: lost, or not acknowledged in time.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(Ticket, String)> {
        let timeout = self.times.timeout;
        for channel in self.channels.values_mut() {
            let late = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= timeout;
            for (_, waiting) in channel.waiting.extract_if(.., |_, waiting| late(waiting)) {
                let why = format!("no acknowledgement within {} s", timeout.as_secs());
                self.lost.push((waiting.ticket, why));
            }
        }
        self.sweep();
        std::mem::take(&mut self.lost)
    }

    /// The next question that is due: the channel that was asked longest ago.
    pub(super) fn question(&mut self, now: Instant) -> Option<Question> {
        let poll = self.times.poll;
        let due =
            self.channels.iter_mut().filter(|(_, channel)| channel.next_question(poll).is_some_and(|at| at <= now));
        let (epoch, channel) = due.min_by_key(|(_, channel)| channel.next_question(poll))?;
        channel.asked = Some(now);
        channel.is_urgent = false;
        channel.used = now;
        let cookies = self.sessions.get(&channel.endpoint).map(|session| &session.cookies);
        Some(Question {
            endpoint: channel.endpoint,
            epoch: *epoch,
            voice: Voice { channel: Arc::clone(&channel.name), cookie: cookies.and_then(cookie_header) },
            ids: channel.waiting.keys().copied().take(QUESTION_IDS_MAX).collect(),
        })
    }

    /// Takes the answer to a question: numbers that are acknowledged, as far as they were asked for. The session must
    /// have been looked at before.
    pub(super) fn acknowledged(&mut self, question: &Question, ids: &[u64]) -> Vec<(Ticket, Receipt)> {
        let Some(channel) = self.channels.get_mut(&question.epoch) else { return Vec::new() };
        let mut told = Vec::new();
        for id in ids.iter().filter(|id| question.ids.contains(id)) {
            if let Some(waiting) = channel.waiting.remove(id) {
                let receipt = Receipt { endpoint: channel.endpoint, channel: Arc::clone(&channel.name), id: *id };
                told.push((waiting.ticket, receipt));
            }
        }
        if !told.is_empty() {
            self.n_changes = 0;
        }
        self.sweep();
        told
    }

    /// An endpoint says that it runs out of room for acknowledgements: what waits there is asked for at once.
    pub(super) fn hurry(&mut self, endpoint: usize) {
        for channel in self.channels.values_mut().filter(|channel| channel.endpoint == endpoint) {
            channel.is_urgent = true;
        }
    }

    /// How long until there is something to do; `None` while nothing waits.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        if !self.lost.is_empty() {
            return Some(Duration::ZERO);
        }
        let questions = self.channels.values().filter_map(|channel| channel.next_question(self.times.poll));
        let oldest = self.channels.values().flat_map(|channel| channel.waiting.values().map(|waiting| waiting.since));
        let deadlines = oldest.filter_map(|since| since.checked_add(self.times.timeout));
        questions.chain(deadlines).min().map(|at| at.saturating_duration_since(now))
    }

    fn change(&mut self, endpoint: usize, why: String) -> Lost {
        self.lose(endpoint, &why);
        self.n_changes = self.n_changes.saturating_add(1);
        if self.n_changes < CHANGES_IN_A_ROW_MAX {
            return Lost::Changed(why);
        }
        Lost::Unsteady(format!(
            "{why}; {} times in a row: acknowledgements need a load balancer with sticky sessions, or the indexers \
             themselves as addresses, or ack = \"off\"",
            self.n_changes
        ))
    }

    /// Takes out channels that are not in use and have nothing waiting.
    fn sweep(&mut self) {
        let in_use: BTreeSet<u64> = self.sessions.values().filter_map(|session| session.epoch).collect();
        self.channels.retain(|epoch, channel| in_use.contains(epoch) || !channel.waiting.is_empty());
    }
}

impl Channel {
    /// When it is to be asked next; never while nothing waits.
    fn next_question(&self, poll: Duration) -> Option<Instant> {
        let oldest = self.waiting.values().map(|waiting| waiting.since).min()?;
        if self.is_urgent { Some(oldest) } else { self.asked.unwrap_or(oldest).max(oldest).checked_add(poll) }
    }
}

fn cookie_header(cookies: &BTreeMap<String, String>) -> Option<String> {
    let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { None } else { Some(pairs.join("; ")) }
}

#[cfg(test)]
mod tests;
