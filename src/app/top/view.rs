//! What is to be seen, before anyone thinks of a screen: clusters, destinations, the service, the store.
//!
//! Pure: takes a state, counts of the outbox and what the service says of itself; gives rows of plain values. Every text
//! that came from outside is one printable, bounded line here. Costs some tens of microseconds a cluster, whose portrait
//! is drawn for its title.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::plain;
use crate::edge::admin::{HealthReport, LaneReport, LaneState, SourceState};
use crate::edge::store::{Fate, OutboxCount};
use crate::pipeline::alert::{Category, Portrait, Severity, Verdict};
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;
use crate::pipeline::state::State;

/// Reasons and remarks of a service that are kept: more than a screen has room for.
const WORDS_MAX: usize = 20;

/// All that a screen shows, but for the one cluster that is opened.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// What is remembered.
    pub(super) memory: Arc<Memory>,
    /// The destinations by name.
    pub(super) destinations: Vec<Destination>,
    /// The service.
    pub(super) service: Service,
    /// The store.
    pub(super) store: StoreSight,
}

/// What was read of the store at one moment.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The clusters, in no order that means anything.
    pub(super) clusters: Vec<ClusterRow>,
    /// What operations are alerted on and is not over, the most severe first.
    pub(super) situations: Vec<Situation>,
    /// Newest event of any cluster.
    pub(super) newest_event: Option<Millis>,
    /// The state itself, for the cluster that is opened.
    pub(super) state: State,
}

/// One living cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClusterRow {
    pub(super) id: ClusterId,
    /// Whether its alert is open.
    pub(super) is_open: bool,
    pub(super) verdict: Verdict,
    pub(super) points: f64,
    pub(super) severity: Severity,
    pub(super) events: u64,
    pub(super) last_event: Option<Millis>,
    /// The route that most of its events came by, and how many others there are.
    pub(super) route: String,
    pub(super) title: String,
}

/// A storm, a cascade, a rollback or a budget whose alert is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) category: Category,
    pub(super) severity: Severity,
    /// When it began (event time).
    pub(super) since: Millis,
    /// As it was told last.
    pub(super) title: String,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) name: String,
    pub(super) waiting: u64,
    /// When the oldest alert that waits was written (wall clock).
    pub(super) oldest_waiting: Option<Millis>,
    /// Alerts that the destination has.
    pub(super) delivered: u64,
    pub(super) refused: u64,
    /// Alerts that were superseded or dropped.
    pub(super) left_out: u64,
    /// How its lane does; `None` while the service does not say.
    pub(super) lane: Option<LaneState>,
}

/// What the service says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Service {
    /// It does not answer.
    NotReached {
        /// Where it was asked, and why there was no answer.
        why: String,
    },
    /// It answered.
    Answered {
        ready: bool,
        /// What stands against its being ready, then what is merely poorer.
        words: Vec<String>,
        /// Records that wait in the topic.
        lag_records: Option<u64>,
        source: String,
        /// Records a second since the answer before.
        records_per_sec: Option<f64>,
    },
}

/// How the reading of the store went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StoreSight {
    pub(super) path: String,
    /// When it was last read (wall clock).
    pub(super) read_at: Option<Millis>,
    /// What that took.
    pub(super) took: Duration,
    /// Rows that could not be read; 0 unless something is wrong.
    pub(super) n_unreadable: usize,
    /// Why it could not be read the last time.
    pub(super) fault: Option<String>,
}

impl Memory {
    /// What a state remembers.
    pub(super) fn of(state: State, situations: Vec<Situation>) -> Self {
        let mut clusters = Vec::new();
        for (_, tenant) in state.tenants() {
            for (cluster, standing) in tenant.clusters() {
                let portrait = tenant.portrait(cluster);
                clusters.push(ClusterRow {
                    id: cluster.id,
                    is_open: standing.is_some_and(|standing| standing.life.open_since.is_some()),
                    verdict: portrait.verdict,
                    points: portrait.points,
                    severity: portrait.severity,
                    events: portrait.counts.events,
                    last_event: Millis::parse(&portrait.last_event),
                    route: route(&portrait),
                    title: plain(&portrait.title),
                });
            }
        }
        let newest_event = clusters.iter().filter_map(|row| row.last_event).max();
        Self { clusters, situations, newest_event, state }
    }

    /// Clusters with this verdict.
    pub(super) fn n_of(&self, verdict: Verdict) -> usize {
        self.clusters.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Clusters whose alert is open.
    pub(super) fn n_open(&self) -> usize {
        self.clusters.iter().filter(|row| row.is_open).count()
    }
}

/// `POST /v1/orders and 2 more`.
fn route(portrait: &Portrait) -> String {
    let first = portrait.routes.first().map(|route| plain(&route.name)).unwrap_or_default();
    match portrait.counts.routes {
        0 | 1 => first,
        n => format!("{first} and {} more", n - 1),
    }
}

impl Destination {
    /// The destinations that the store knows and those of which the service speaks, by name.
    pub(super) fn all(counts: &[OutboxCount], lanes: Option<&BTreeMap<String, LaneReport>>) -> Vec<Self> {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for one in counts {
            let account = all.entry(&one.destination).or_insert_with(|| Self::named(&one.destination));
            let count = match one.fate {
                None => {
                    account.oldest_waiting = (one.alerts > 0).then_some(Millis(one.oldest_ms));
                    &mut account.waiting
                }
                Some(Fate::Refused) => &mut account.refused,
                Some(Fate::Superseded | Fate::Dropped) => &mut account.left_out,
                Some(Fate::Delivered | Fate::Repeated | Fate::Degraded) => &mut account.delivered,
            };
            *count = count.saturating_add(one.alerts);
        }
        for (name, lane) in lanes.into_iter().flatten() {
            let account = all.entry(name).or_insert_with(|| Self { waiting: lane.waiting, ..Self::named(name) });
            account.lane = Some(match &lane.state {
                LaneState::Idle => LaneState::Idle,
                LaneState::Delivering => LaneState::Delivering,
                LaneState::Retrying(why) => LaneState::Retrying(plain(why)),
                LaneState::OnHold(why) => LaneState::OnHold(plain(why)),
            });
        }
        all.into_values().collect()
    }

    fn named(name: &str) -> Self {
        Self { name: plain(name), waiting: 0, oldest_waiting: None, delivered: 0, refused: 0, left_out: 0, lane: None }
    }
}

impl Service {
    /// What a report says; `records_per_sec` since the one before.
    pub(super) fn of(report: &HealthReport, records_per_sec: Option<f64>) -> Self {
        let source = match &report.source {
            SourceState::Starting => "starting".to_owned(),
            SourceState::Reading(1) => "reading 1 partition".to_owned(),
            SourceState::Reading(n) => format!("reading {n} partitions"),
            SourceState::Waiting(why) => format!("waiting: {}", plain(why)),
            SourceState::Closed => "closed".to_owned(),
        };
        let words = report.reasons.iter().chain(&report.notes).take(WORDS_MAX).map(|words| plain(words)).collect();
        Self::Answered { ready: report.ready, words, lag_records: report.lag_records, source, records_per_sec }
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! A view of made-up clusters, for those who draw one.

    use super::*;
    use crate::pipeline::event::Id;

    /// What a sender would like to do to a terminal.
    pub(in super::super) const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\r\n\u{9b}31m日本語";

    pub(in super::super) fn row(number: u64, verdict: Verdict, points: f64, events: u64) -> ClusterRow {
        ClusterRow {
            id: ClusterId(Id(number)),
            is_open: false,
            verdict,
            points,
            severity: Severity::Medium,
            events,
            last_event: Some(Millis(1_789_372_800_000 + i64::try_from(number).unwrap() * Millis::MINUTE)),
            route: format!("POST /v1/orders/{number}"),
            title: format!("38 addresses of 4 networks on POST /v1/orders/{number}: {events} events"),
        }
    }

    pub(in super::super) fn situation() -> Situation {
        Situation {
            category: Category::Storm,
            severity: Severity::High,
            since: Millis(1_789_372_800_000),
            title: plain(&format!("storm on POST /v1/orders: 312 panics in 10 minutes where 4 are usual {HOSTILE}")),
        }
    }

    pub(in super::super) fn destination(name: &str, lane: Option<LaneState>) -> Destination {
        Destination { waiting: 3, delivered: 120, refused: 2, lane, ..Destination::named(name) }
    }

    /// Forty clusters, two of them hostile, one with an open alert, and two destinations, one on hold.
    pub(in super::super) fn view() -> View {
        let mut clusters: Vec<ClusterRow> = (1..=38)
            .map(|n| row(n, if n % 2 == 0 { Verdict::Benign } else { Verdict::Undecided }, 0.0, n * 10))
            .collect();
        clusters.push(row(100, Verdict::Hostile, 9.75, 300));
        clusters.push(ClusterRow { is_open: true, ..row(101, Verdict::Hostile, 4.5, 12) });
        let newest_event = clusters.iter().filter_map(|row| row.last_event).max();
        let on_hold = LaneState::OnHold(plain(&format!("HTTP 403, code 4: Invalid token {HOSTILE}")));
        View {
            memory: Arc::new(Memory { clusters, situations: vec![situation()], newest_event, state: State::default() }),
            destinations: vec![
                destination("elastic", Some(LaneState::Delivering)),
                destination("splunk", Some(on_hold)),
            ],
            service: Service::Answered {
                ready: false,
                words: vec!["destination splunk is on hold: Invalid token".to_owned()],
                lag_records: Some(12_345),
                source: "reading 3 partitions".to_owned(),
                records_per_sec: Some(340.4),
            },
            store: StoreSight {
                path: "/var/lib/panicsift/panicsift.db".to_owned(),
                read_at: Some(Millis(1_789_380_000_000)),
                took: Duration::from_millis(35),
                n_unreadable: 0,
                fault: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::HOSTILE;
    use super::*;
    use crate::pipeline::neutral;

    fn count(destination: &str, fate: Option<Fate>, alerts: u64) -> OutboxCount {
        OutboxCount { destination: destination.to_owned(), fate, alerts, oldest_ms: 5_000 }
    }

    #[test]
    fn every_alert_of_a_destination_is_in_one_column() {
        let counts: Vec<OutboxCount> = [None]
            .into_iter()
            .chain(Fate::ALL.map(Some))
            .zip([1, 2, 4, 8, 16, 32, 64])
            .map(|(f, n)| count("a", f, n))
            .collect();
        let [all] = &Destination::all(&counts, None)[..] else { panic!("one destination") };
        assert_eq!((all.waiting, all.delivered, all.refused, all.left_out), (1, 2 + 4 + 8, 16, 32 + 64));
        assert_eq!(all.oldest_waiting, Some(Millis(5_000)));
        assert_eq!(all.lane, None);
    }

    #[test]
    fn a_destination_without_alerts_waits_for_nothing() {
        let [all] = &Destination::all(&[count("a", None, 0)], None)[..] else { panic!("one destination") };
        assert_eq!((all.waiting, all.oldest_waiting), (0, None));
    }

    #[test]
    fn lanes_join_what_the_store_knows_and_their_words_are_harmless() {
        let lanes = BTreeMap::from([
            ("a".to_owned(), LaneReport { state: LaneState::Delivering, waiting: 7 }),
            (format!("b{HOSTILE}"), LaneReport { state: LaneState::OnHold(HOSTILE.repeat(1_000)), waiting: 9 }),
        ]);
        let all = Destination::all(&[count("a", None, 3), count("c", Some(Fate::Refused), 1)], Some(&lanes));
        let told: Vec<_> = all.iter().map(|one| (one.waiting, one.refused)).collect();
        assert_eq!(told, [(3, 0), (9, 0), (0, 1)], "the store counts better than the service remembers");
        assert_eq!(all[0].lane, Some(LaneState::Delivering));
        let Some(LaneState::OnHold(why)) = &all[1].lane else { panic!("{all:?}") };
        assert!(all[1].name.chars().chain(why.chars()).all(neutral::is_shown), "{all:?}");
        assert!(why.len() <= 400);
    }

    #[test]
    fn what_a_service_says_is_bounded_and_harmless() {
        let report = HealthReport {
            ready: false,
            reasons: vec![HOSTILE.to_owned(); 100],
            notes: vec!["table asn is absent".to_owned()],
            source: SourceState::Waiting(HOSTILE.to_owned()),
            lag_records: None,
            progress_age_secs: None,
            lanes: BTreeMap::new(),
        };
        let Service::Answered { words, source, .. } = Service::of(&report, None) else { panic!("it answered") };
        assert_eq!(words.len(), WORDS_MAX);
        assert!(words.iter().chain([&source]).all(|words| words.chars().all(neutral::is_shown)), "{words:?} {source}");
    }
}
