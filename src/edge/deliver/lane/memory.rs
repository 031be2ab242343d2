//! What a lane has in its hands: alerts that were read from the outbox, and those under way.
//!
//! Pure: takes pages of the outbox and readings of requests, gives the next request and the answers to be written down.
//! The outbox is the truth. Whenever a request did not go through, everything read and not under way is forgotten and
//! read again, so that what an operator did to the outbox in the meantime counts.
//!
//! Order: an alert is never in a request together with an earlier one of its own cluster, and never sent before that
//! one has its final answer, the acknowledgement included; so "opened" is answered before "raised" whatever is retried,
//! refused, split or lost between them. Between clusters there is no order to keep.
//!
//! Nobody is refused on a suspicion: an alert that a destination calls bad is sent alone first, and so is one of a
//! request that is refused as a whole, by halving. Where every alert is refused it is rather the destination that is
//! wrong: refusals then go at the pace of a hold.
//!
//! Supersession: while a lane is behind (it has just started, a request did not go through, or more waits than it can
//! hold, and it has not caught up since), a `raised` that has never been sent is not sent when a later `raised` or
//! `closed` of its cluster waits too and is of no lower severity. It is settled together with that later one, and only if
//! that one was taken; so nothing is given up for a change that never arrives. `opened` and `closed` are always sent. A
//! start counts as being behind so that a change which was left out before a crash is not told after the one that spoke
//! for it.
//!
//! Costs a pass over what is held a request; holds at most [`HELD_REQUESTS`] requests of alerts, and of those under way
//! only their numbers and clusters.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::pace::{Pace, Went};
use super::super::{BatchLimits, Reading, Ticket, Word, words};
use crate::edge::admin::LaneState;
use crate::edge::store::{Fate, Pending, Settlement};
use crate::pipeline::alert::{Alert, Change, Severity};

/// Alerts that are held, in full requests: enough to find some of other clusters beside those that must wait.
const HELD_REQUESTS: usize = 4;

/// An alert that is held.
#[derive(Debug)]
struct Held {
    pending: Pending,
    /// Earlier changes of its cluster that it speaks for.
    covers: Vec<i64>,
}

/// An alert of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) seq: i64,
    cluster: String,
    covers: Vec<i64>,
}

/// Alerts of one request, with their places in the outbox.
#[derive(Debug, Default)]
pub(super) struct Shipment {
    pub(super) sent: Vec<Sent>,
    pub(super) alerts: Vec<Alert>,
    pub(super) unreadable: Vec<Settlement>,
}

/// What a reading comes to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) settlements: Vec<Settlement>,
    pub(super) went: Went,
    pub(super) state: LaneState,
}

/// What a lane remembers between two requests.
pub(super) struct Memory {
    pub(super) pace: Pace,
    limits: BatchLimits,
    /// Requests that carried an alert which has no answer yet.
    attempts: BTreeMap<i64, u32>,
    /// An alert that the destination pointed at: it goes alone.
    suspect: Option<i64>,
    /// The destination pointed at an innocent one: halve from now on.
    points_wrongly: bool,
    held: BTreeMap<i64, Held>,
    under_way: BTreeMap<Ticket, Vec<Sent>>,
    /// Clusters of the alerts under way, and the places of these and of those that they speak for.
    busy: BTreeSet<String>,
    places: BTreeSet<i64>,
    /// The outbox was read up to this place.
    read_to: i64,
    is_behind: bool,
}

/// What tells whether one change may stand for another.
#[derive(Deserialize)]
struct Head {
    change: Change,
    severity: Severity,
}

impl Memory {
    pub(super) fn new(pace: Pace, limits: BatchLimits) -> Self {
        Self {
            pace,
            limits,
            attempts: BTreeMap::new(),
            suspect: None,
            points_wrongly: false,
            held: BTreeMap::new(),
            under_way: BTreeMap::new(),
            busy: BTreeSet::new(),
            places: BTreeSet::new(),
            read_to: 0,
            is_behind: true,
        }
    }

    /// How many more alerts may be read from the outbox, and after which place.
    pub(super) fn room(&self) -> (usize, i64) {
        let held_max = self.limits.alerts_max.max(1).saturating_mul(HELD_REQUESTS);
        let n_bytes: usize = self.held.values().map(|held| held.pending.body.len()).sum();
        let is_full = n_bytes >= self.limits.bytes_max.saturating_mul(HELD_REQUESTS);
        (if is_full { 0 } else { held_max.saturating_sub(self.held.len()) }, self.read_to)
    }

    /// Takes a page of the outbox in. Returns whether it was empty.
    pub(super) fn hold(&mut self, page: Vec<Pending>) -> bool {
        let Some(last) = page.last() else {
            // Everything that waits is held: nothing is to be caught up with, once that is sent.
            self.is_behind &= !self.held.is_empty();
            return true;
        };
        self.read_to = last.seq;
        for pending in page {
            if !self.places.contains(&pending.seq) {
                self.held.insert(pending.seq, Held { pending, covers: Vec::new() });
            }
        }
        self.is_behind |= self.room().0 == 0;
        if self.is_behind {
            self.supersede();
        }
        false
    }

    /// Forgets what was read: the outbox has changed under it.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.read_to = 0;
    }

    /// Requests without an acknowledgement.
    pub(super) fn n_under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether another request may be handed over.
    pub(super) fn has_window(&self) -> bool {
        self.under_way.len() < self.pace.window()
    }

    /// The alerts of the next request, taken out of what is held: at most the pace's width, at most one a cluster, none
    /// of a cluster under way, a suspect alone.
    pub(super) fn choose(&mut self) -> Shipment {
        let suspect = self.suspect.filter(|suspect| self.held.contains_key(suspect));
        let mut clusters: BTreeSet<&str> = BTreeSet::new();
        let mut chosen = Vec::new();
        let mut n_bytes = 0_usize;
        for (seq, Held { pending, .. }) in &self.held {
            let is_first = !self.busy.contains(&pending.cluster) && clusters.insert(&pending.cluster);
            if !is_first || suspect.is_some_and(|suspect| suspect != *seq) {
                continue;
            }
            n_bytes = n_bytes.saturating_add(pending.body.len());
            let is_full = n_bytes > self.limits.bytes_max && !chosen.is_empty();
            if is_full || chosen.len() >= self.pace.width() {
                break;
            }
            chosen.push(*seq);
        }
        let mut shipment = Shipment::default();
        for Held { pending, covers } in chosen.into_iter().filter_map(|seq| self.held.remove(&seq)) {
            let Pending { seq, cluster, body } = pending;
            match serde_json::from_str(&body) {
                Ok(alert) => {
                    shipment.sent.push(Sent { seq, cluster, covers });
                    shipment.alerts.push(alert);
                    let attempts = self.attempts.entry(seq).or_default();
                    *attempts = attempts.saturating_add(1);
                }
                Err(error) => {
                    let detail = words(format!("panicsift: the stored alert cannot be read: {error}").as_bytes());
                    shipment.unreadable.push(Settlement { seq, fate: Fate::Refused, detail, attempts: 0 });
                }
            }
        }
        shipment
    }

    /// What a reading comes to for the alerts of a request.
    pub(super) fn digest(&mut self, reading: Reading, sent: Vec<Sent>) -> Outcome {
        if let Reading::Pending { ticket, slow_down } = reading {
            self.points_wrongly |= self.suspect.take().is_some();
            self.busy.extend(sent.iter().map(|one| one.cluster.clone()));
            self.places.extend(sent.iter().flat_map(Sent::places));
            self.under_way.insert(ticket, sent);
            return nothing(Went::Well { slow_down }, LaneState::Delivering);
        }
        let outcome = self.judge(reading, &sent);
        let settled: BTreeSet<i64> = outcome.settlements.iter().map(|settlement| settlement.seq).collect();
        if !sent.iter().all(|one| settled.contains(&one.seq)) {
            self.is_behind |= !matches!(outcome.went, Went::TooWide | Went::Well { .. });
            self.forget();
        }
        outcome
    }

    /// What became of a request that was handed over. `None` for one that is not known.
    pub(super) fn digest_ticket(&mut self, ticket: Ticket, reading: Reading) -> Option<(Outcome, usize)> {
        let sent = self.under_way.remove(&ticket)?;
        let n_sent = sent.len();
        for one in &sent {
            self.busy.remove(&one.cluster);
            for seq in one.places() {
                self.places.remove(&seq);
            }
        }
        if matches!(reading, Reading::Accepted { .. }) {
            self.pace.acknowledged();
        }
        Some((self.digest(reading, sent), n_sent))
    }

    fn judge(&mut self, reading: Reading, sent: &[Sent]) -> Outcome {
        match reading {
            Reading::Accepted { slow_down, receipt } => {
                self.points_wrongly |= self.suspect.take().is_some();
                let settlements = sent.iter().flat_map(|one| self.answer(one, Fate::Delivered, &receipt)).collect();
                Outcome { settlements, went: Went::Well { slow_down }, state: LaneState::Delivering }
            }
            Reading::Words(said) => self.judge_words(said, sent),
            Reading::Retry { why, after, slow_down } => {
                nothing(Went::Badly { after, slow_down }, LaneState::Retrying(why))
            }
            Reading::Hold { why } => nothing(Went::OnHold, LaneState::OnHold(why)),
            Reading::Poison { suspect, why } => {
                let suspect = suspect.filter(|_| !self.points_wrongly).and_then(|at| sent.get(at));
                match (sent, suspect) {
                    ([alone], _) => self.refuse(alone, &why),
                    (_, Some(one)) => {
                        self.suspect = Some(one.seq);
                        nothing(Went::Well { slow_down: false }, LaneState::Delivering)
                    }
                    (_, None) => nothing(Went::TooWide, LaneState::Delivering),
                }
            }
            Reading::TooLarge { why } => match sent {
                [alone] => self.refuse(alone, &why),
                _ => nothing(Went::TooWide, LaneState::Delivering),
            },
            // Taken up before; nothing is settled by it in any case.
            Reading::Pending { .. } => nothing(Went::Well { slow_down: false }, LaneState::Delivering),
        }
    }

    fn judge_words(&mut self, said: Vec<Word>, sent: &[Sent]) -> Outcome {
        if said.len() != sent.len() {
            let why = format!("{} answers to {} alerts", said.len(), sent.len());
            return nothing(Went::Badly { after: None, slow_down: false }, LaneState::Retrying(why));
        }
        let is_refusal = |word: &Word| matches!(word, Word::Final(Fate::Refused, _));
        if said.iter().all(is_refusal) {
            return match (sent, said.first()) {
                ([alone], Some(Word::Final(_, why))) => self.refuse(alone, why),
                _ => nothing(Went::TooWide, LaneState::Delivering),
            };
        }
        self.points_wrongly |= self.suspect.take().is_some();
        let mut outcome = nothing(Went::Well { slow_down: false }, LaneState::Delivering);
        let mut overloaded = false;
        for (word, one) in said.into_iter().zip(sent) {
            match word {
                Word::Final(fate, detail) => outcome.settlements.extend(self.answer(one, fate, &detail)),
                Word::Hold(why) => outcome.state = LaneState::OnHold(why),
                Word::Retry(why) | Word::Overloaded(why) if matches!(outcome.state, LaneState::OnHold(_)) => drop(why),
                Word::Retry(why) => outcome.state = LaneState::Retrying(why),
                Word::Overloaded(why) => {
                    overloaded = true;
                    outcome.state = LaneState::Retrying(why);
                }
            }
        }
        outcome.went = match (&outcome.state, outcome.settlements.is_empty()) {
            (LaneState::OnHold(_), _) => Went::OnHold,
            (LaneState::Retrying(_), true) => Went::Badly { after: None, slow_down: overloaded },
            (LaneState::Retrying(_), false) => Went::InPart { slow_down: overloaded },
            (LaneState::Idle | LaneState::Delivering, _) => Went::Well { slow_down: false },
        };
        outcome
    }

    fn refuse(&mut self, one: &Sent, why: &str) -> Outcome {
        self.suspect = None;
        let state = if self.pace.refuses_everything() {
            LaneState::OnHold(format!("every alert is refused, the last one so: {why}"))
        } else {
            LaneState::Delivering
        };
        Outcome { settlements: self.answer(one, Fate::Refused, why), went: Went::Refused, state }
    }

    /// The answer about an alert, and about those that it spoke for if it was taken. If not, these wait again.
    fn answer(&mut self, one: &Sent, fate: Fate, detail: &str) -> Vec<Settlement> {
        let attempts = self.attempts.remove(&one.seq).unwrap_or(1);
        let mut settlements = vec![Settlement { seq: one.seq, fate, detail: detail.to_owned(), attempts }];
        if fate.is_taken() {
            let detail = format!("the later change number {} was delivered in its place", one.seq);
            let superseded = |seq: &i64| Settlement {
                seq: *seq,
                fate: Fate::Superseded,
                detail: detail.clone(),
                attempts: self.attempts.remove(seq).unwrap_or(0),
            };
            settlements.extend(one.covers.iter().map(superseded));
        } else if !one.covers.is_empty() {
            self.forget();
        }
        settlements
    }

    /// Lets later changes speak for earlier ones of their cluster. The first change of a cluster that is held may be
    /// told in any case: what is before it is answered or under way.
    fn supersede(&mut self) {
        let mut later: BTreeMap<String, (i64, Severity)> = BTreeMap::new();
        let mut covered = Vec::new();
        for (seq, held) in self.held.iter().rev() {
            let Ok(head) = serde_json::from_str::<Head>(&held.pending.body) else { continue };
            let by = later.get(&held.pending.cluster).filter(|(_, severity)| *severity >= head.severity);
            let is_sent = self.attempts.contains_key(seq);
            match by {
                Some((by, _)) if head.change == Change::Raised && !is_sent => covered.push((*seq, *by)),
                _ if head.change == Change::Opened => drop(later.remove(&held.pending.cluster)),
                _ => drop(later.insert(held.pending.cluster.clone(), (*seq, head.severity))),
            }
        }
        for (seq, by) in covered {
            let spoken_for = self.held.remove(&seq).map(|held| held.covers).unwrap_or_default();
            if let Some(held) = self.held.get_mut(&by) {
                held.covers.push(seq);
                held.covers.extend(spoken_for);
            }
        }
    }
}

impl Sent {
    /// Its own place in the outbox, and those of the alerts that it speaks for.
    fn places(&self) -> impl Iterator<Item = i64> + '_ {
        std::iter::once(self.seq).chain(self.covers.iter().copied())
    }
}

fn nothing(went: Went, state: LaneState) -> Outcome {
    Outcome { settlements: Vec::new(), went, state }
}
