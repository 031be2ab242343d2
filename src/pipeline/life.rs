//! A cluster's life as the SIEM hears of it: when it is opened, raised, closed, and when nothing is said.
//!
//! One open alert a cluster, however many events a storm has; a change only after the one before it has stood for a
//! while; closing below a lower line than opening, twice in a row, so that a cluster on the line does not flap. A pure
//! state machine: it reads the judge's word and the event time, gives the change, and keeps the rest in [`Life`].

use serde::{Deserialize, Serialize};

use super::alert::{Change, Severity};
use super::event::Millis;

/// How patient the life cycle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertPolicy {
    /// An open alert is raised at most this often.
    pub raise_millis: i64,
    /// A cluster that was closed is not opened again within this time.
    pub cooldown_millis: i64,
    /// An open cluster without events for this long is closed.
    pub quiet_millis: i64,
    /// Clusters that may open with an alert of their own within an hour; what opens beyond is told by a digest.
    pub digest_above: u32,
}

impl Default for AlertPolicy {
    /// Raised at most every 15 minutes, an hour of cooldown, closed after 6 hours of silence; 10 openings an hour.
    fn default() -> Self {
        Self {
            raise_millis: 15 * Millis::MINUTE,
            cooldown_millis: Millis::HOUR,
            quiet_millis: 6 * Millis::HOUR,
            digest_above: 10,
        }
    }
}

/// Judgements in a row that must speak for closing. At one judgement an epoch this is a matter of seconds; it keeps a
/// single odd epoch from closing and reopening a cluster.
const CALM_NEEDED: u8 = 2;

/// What is said of a cluster, or of another situation, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// It is such that an alert should be open: a cluster is hostile under the judge's own hysteresis.
    pub holds: bool,
    /// How much it matters.
    pub severity: Severity,
    /// Event time of the last event.
    pub last_event: Millis,
}

/// What is remembered of a cluster's alerts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Life {
    /// When the first alert was opened; covers every later event of the cluster.
    pub first_opened: Option<Millis>,
    /// When the alert that is open now was opened.
    pub open_since: Option<Millis>,
    /// The severity last told. It rises and never falls while an alert is open, and stays what it was when it is closed.
    pub told: Severity,
    /// Ordinal of the next change.
    pub next_ordinal: u32,
    /// When the last change was told.
    pub last_change: Option<Millis>,
    /// It is open, and told by the tenant's digest ([`super::digest`]) instead of an alert of its own.
    pub in_digest: bool,
    calm: u8,
    /// What is told next is told without patience.
    #[serde(skip)]
    hurried: bool,
}

impl Life {
    /// A person has spoken, or taken a word back: at the next turn nobody waits for a second judgement before an alert is
    /// closed, nor for a cooldown before one is opened.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    /// What to tell now, if anything, and remembers that it was told.
    pub fn turn(&mut self, policy: &AlertPolicy, word: Word, now: Millis) -> Option<Change> {
        let hurried = std::mem::take(&mut self.hurried);
        let cooldown_millis = if hurried { 0 } else { policy.cooldown_millis };
        let policy = &AlertPolicy { cooldown_millis, ..*policy };
        let change = if self.open_since.is_some() {
            self.calm = if hurried { CALM_NEEDED } else { self.calm };
            self.while_open(policy, word, now)
        } else {
            self.while_closed(policy, word, now)
        }?;
        match change {
            Change::Opened => {
                self.open_since = Some(now);
                self.first_opened = self.first_opened.or(Some(now));
            }
            Change::Raised => {}
            Change::Closed => self.open_since = None,
        }
        if change != Change::Closed {
            self.told = word.severity;
        }
        self.calm = 0;
        self.next_ordinal += 1;
        self.last_change = Some(now);
        Some(change)
    }

    fn while_closed(&self, policy: &AlertPolicy, word: Word, now: Millis) -> Option<Change> {
        let cooling = self.last_change.is_some_and(|last| now.since(last) < policy.cooldown_millis);
        let silent = now.since(word.last_event) >= policy.quiet_millis;
        (word.holds && !cooling && !silent).then_some(Change::Opened)
    }

    fn while_open(&mut self, policy: &AlertPolicy, word: Word, now: Millis) -> Option<Change> {
        self.calm = if word.holds { 0 } else { self.calm.saturating_add(1) };
        if self.calm >= CALM_NEEDED || now.since(word.last_event) >= policy.quiet_millis {
            return Some(Change::Closed);
        }
        let settled = self.last_change.is_none_or(|last| now.since(last) >= policy.raise_millis);
        (word.severity > self.told && settled).then_some(Change::Raised)
    }

    /// Its alert is told as opened now, after a digest told it so far.
    pub fn reveal(&mut self, word: Word, now: Millis) {
        self.told = word.severity;
        self.calm = 0;
        self.next_ordinal += 1;
        self.last_change = Some(now);
    }

    /// Takes over when events were first covered from a cluster that became part of this one.
    pub fn inherit(&mut self, first_opened: Millis) {
        self.first_opened = Some(self.first_opened.map_or(first_opened, |known| known.min(first_opened)));
    }

    /// Ends an open alert because its cluster became part of another one; whether there was one.
    pub fn absorb(&mut self, now: Millis) -> bool {
        let was_open = self.open_since.take().is_some();
        if was_open {
            self.next_ordinal += 1;
            self.last_change = Some(now);
        }
        was_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(verdict: Verdict, severity: Severity, last_minute: i64) -> Word {
        Word { holds: verdict == Verdict::Hostile, severity, last_event: Millis(last_minute * Millis::MINUTE) }
    }

    fn check(words: &[(i64, Verdict, Severity)], expected: &[(i64, Change)]) {
        let mut life = Life::default();
        let mut last_event = 0;
        let told: Vec<_> = words
            .iter()
            .filter_map(|(minute, verdict, severity)| {
                if *verdict != Verdict::Undecided {
                    last_event = *minute;
                }
                let now = Millis(minute * Millis::MINUTE);
                let change = life.turn(&AlertPolicy::default(), word(*verdict, *severity, last_event), now);
                change.map(|change| (*minute, change))
            })
            .collect();
        assert_eq!(told, expected);
    }

    use super::super::alert::Verdict::{self, Benign, Hostile};
    use Severity::{High, Low, Medium};

    #[test]
    fn a_hostile_cluster_is_opened_once_however_often_it_is_judged() {
        check(&[(0, Benign, Low), (1, Hostile, Low), (2, Hostile, Low), (3, Hostile, Low)], &[(1, Change::Opened)]);
    }

    #[test]
    fn severity_raises_an_open_alert_but_not_at_once() {
        check(
            &[(0, Hostile, Low), (5, Hostile, Medium), (16, Hostile, Medium), (17, Hostile, High), (40, Hostile, Low)],
            &[(0, Change::Opened), (16, Change::Raised)],
        );
    }

    #[test]
    fn severity_never_falls_before_the_next_opening() {
        let mut life = Life::default();
        let minutes = [
            (0, Hostile, Medium, Some(Change::Opened), Medium),
            (16, Hostile, High, Some(Change::Raised), High),
            (40, Hostile, Low, None, High),
            (41, Benign, Low, None, High),
            (42, Benign, Low, Some(Change::Closed), High),
            (200, Hostile, Low, Some(Change::Opened), Low),
        ];
        for (minute, verdict, severity, change, told) in minutes {
            let word = word(verdict, severity, minute);
            assert_eq!(life.turn(&AlertPolicy::default(), word, Millis(minute * Millis::MINUTE)), change, "{minute}");
            assert_eq!(life.told, told, "{minute}");
        }
    }

    #[test]
    fn one_calm_judgement_does_not_close_and_two_do() {
        check(
            &[(0, Hostile, Low), (1, Benign, Low), (2, Hostile, Low), (3, Benign, Low), (4, Benign, Low)],
            &[(0, Change::Opened), (4, Change::Closed)],
        );
    }

    #[test]
    fn a_closed_cluster_cools_down_before_it_is_opened_again() {
        check(
            &[(0, Hostile, Low), (1, Benign, Low), (2, Benign, Low), (30, Hostile, Low), (70, Hostile, Low)],
            &[(0, Change::Opened), (2, Change::Closed), (70, Change::Opened)],
        );
    }

    #[test]
    fn a_person_s_word_closes_and_opens_at_once_but_opens_nothing_that_is_silent() {
        let policy = AlertPolicy::default();
        let mut life = Life::default();
        let at_once = |life: &mut Life, policy: &AlertPolicy, word, now| {
            life.hurry();
            life.turn(policy, word, now)
        };
        assert_eq!(at_once(&mut life, &policy, word(Hostile, Low, 0), Millis(0)), Some(Change::Opened));
        assert_eq!(at_once(&mut life, &policy, word(Hostile, Low, 0), Millis(1)), None);
        assert_eq!(life.turn(&policy, word(Benign, Low, 0), Millis(2)), None, "the judge waits for a second look");
        assert_eq!(life.turn(&policy, word(Hostile, Low, 0), Millis(3)), None);
        assert_eq!(at_once(&mut life, &policy, word(Benign, Low, 0), Millis(4)), Some(Change::Closed));
        assert_eq!(life.turn(&policy, word(Hostile, Low, 0), Millis(5)), None, "the judge cools down");
        assert_eq!(at_once(&mut life, &policy, word(Hostile, Low, 0), Millis(6)), Some(Change::Opened));
        assert_eq!(at_once(&mut life, &policy, word(Benign, Low, 0), Millis(7)), Some(Change::Closed));
        assert_eq!(at_once(&mut life, &policy, word(Hostile, Low, 0), Millis(6 * Millis::HOUR)), None);
    }

    #[test]
    fn silence_closes_an_open_alert_and_opens_none() {
        check(&[(0, Hostile, Low), (400, Hostile, Low)], &[(0, Change::Opened)]);
        let mut life = Life::default();
        let hostile = word(Hostile, Low, 0);
        assert_eq!(life.turn(&AlertPolicy::default(), hostile, Millis(0)), Some(Change::Opened));
        assert_eq!(life.turn(&AlertPolicy::default(), hostile, Millis(6 * Millis::HOUR)), Some(Change::Closed));
        assert_eq!(life.turn(&AlertPolicy::default(), hostile, Millis(20 * Millis::HOUR)), None);
    }
}
