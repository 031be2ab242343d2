//! One alert in place of a flood: which openings are told one by one, and the life of the digest that tells the others.
//!
//! Of a tenant's hostile clusters the first [`AlertPolicy::digest_above`] that open within an hour of event time have an
//! alert each. Whatever else would open in that hour is told by the digest: one alert that is opened with the first of
//! them, raised when their number has doubled, and closed when none of them is open any more; a tenant has one at a time,
//! and clusters of a later flood join the one that is still open. A critical cluster always has an alert of its own, and
//! a cluster of the digest gets one at the moment it becomes critical. Nothing is lost: a cluster's [`Life`] says that
//! the digest tells it, so that reports do.
//!
//! A pure state machine on event time, like [`super::life`]; a handful of numbers, whatever the flood. An hour begins
//! with the first opening after the hour before it.

use serde::{Deserialize, Serialize};

use super::alert::{Change, Severity};
use super::event::Millis;
use super::life::{AlertPolicy, Life, Word};

/// The time in which openings are counted.
const WINDOW_MILLIS: i64 = Millis::HOUR;

/// What is remembered of a tenant's digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// When the hour began in which openings are counted.
    since: Option<Millis>,
    /// Clusters that opened with an alert of their own in it.
    opened: u32,
    /// Clusters that the digest told or is about to tell, those that left it among them.
    pub n_ever: u32,
    /// Those that it tells now.
    pub n_now: u32,
    /// Name in alerts, while it is open.
    pub name: Option<String>,
    /// The severity last told.
    pub severity: Severity,
    /// [`Digest::n_ever`] when it was last told.
    n_told: u32,
    /// Ordinal of its next change.
    next_ordinal: u32,
}

impl Digest {
    /// What a cluster's own alert tells now, if anything; what the digest tells of it is kept here. Takes the place of
    /// [`Life::turn`] for clusters.
    pub fn turn(&mut self, policy: &AlertPolicy, life: &mut Life, word: Word, now: Millis) -> Option<Change> {
        let is_critical = word.severity == Severity::Critical;
        if life.in_digest && word.holds && is_critical {
            self.leave(life);
            life.reveal(word, now);
            return Some(Change::Opened);
        }
        let ordinal = life.next_ordinal;
        let change = life.turn(policy, word, now)?;
        if change == Change::Opened {
            self.roll(now);
            if is_critical || self.opened < policy.digest_above {
                self.opened = self.opened.saturating_add(1);
                return Some(change);
            }
            life.in_digest = true;
            self.n_ever = self.n_ever.saturating_add(1);
            self.n_now = self.n_now.saturating_add(1);
        } else if !life.in_digest {
            return Some(change);
        } else if change == Change::Closed {
            self.leave(life);
        }
        // Its own alerts are counted without what the digest told.
        life.next_ordinal = ordinal;
        None
    }

    /// A cluster that it tells is no more, or has an alert of its own.
    pub fn leave(&mut self, life: &mut Life) {
        if std::mem::take(&mut life.in_digest) {
            self.n_now = self.n_now.saturating_sub(1);
        }
    }

    /// What the digest's own alert is to tell, with the ordinal; asked once at the end of an epoch.
    pub fn change(&mut self) -> Option<(Change, u32)> {
        let change = match (&self.name, self.n_now) {
            (None, 0) => {
                (self.n_ever, self.n_told) = (0, 0);
                return None;
            }
            (None, _) => Change::Opened,
            (Some(_), 0) => Change::Closed,
            (Some(_), _) if self.n_ever >= self.n_told.saturating_mul(2) => Change::Raised,
            (Some(_), _) => return None,
        };
        let ordinal = if change == Change::Opened { 0 } else { self.next_ordinal };
        self.next_ordinal = ordinal.saturating_add(1);
        self.n_told = self.n_ever;
        Some((change, ordinal))
    }

    /// After its closing was told.
    pub fn end(&mut self) {
        let Self { since, opened, .. } = *self;
        *self = Self { since, opened, ..Self::default() };
    }

    fn roll(&mut self, now: Millis) {
        if self.since.is_none_or(|since| now.since(since) >= WINDOW_MILLIS) {
            (self.since, self.opened) = (Some(now), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Severity::{Critical, High, Low};

    const POLICY: AlertPolicy =
        AlertPolicy { raise_millis: 0, cooldown_millis: 0, quiet_millis: i64::MAX, digest_above: 2 };

    fn word(holds: bool, severity: Severity, now: Millis) -> Word {
        Word { holds, severity, last_event: now }
    }

    /// Clusters under one digest, turned once an epoch of a minute.
    struct Scene {
        digest: Digest,
        lives: Vec<Life>,
        now: Millis,
    }

    impl Scene {
        fn new(n: usize) -> Self {
            Self { digest: Digest::default(), lives: vec![Life::default(); n], now: Millis(0) }
        }

        /// What each cluster and the digest tell in an epoch.
        fn epoch(&mut self, words: &[(bool, Severity)]) -> (Vec<Option<Change>>, Option<(Change, u32)>) {
            self.now = self.now.plus(Millis::MINUTE);
            let now = self.now;
            let own = self
                .lives
                .iter_mut()
                .zip(words)
                .map(|(life, (holds, severity))| self.digest.turn(&POLICY, life, word(*holds, *severity, now), now))
                .collect();
            let told = self.digest.change();
            match told {
                Some((Change::Opened, _)) => self.digest.name = Some("digest".to_owned()),
                Some((Change::Closed, _)) => self.digest.end(),
                _ => {}
            }
            (own, told)
        }
    }

    const OPENED: Option<Change> = Some(Change::Opened);
    const CLOSED: Option<Change> = Some(Change::Closed);

    #[test]
    fn the_first_ones_are_told_one_by_one_and_the_rest_by_a_digest() {
        let mut scene = Scene::new(4);
        let (own, digest) = scene.epoch(&[(true, Low); 4]);
        assert_eq!((own, digest), (vec![OPENED, OPENED, None, None], Some((Change::Opened, 0))));
        let told: Vec<bool> = scene.lives.iter().map(|life| life.in_digest).collect();
        assert_eq!(told, [false, false, true, true]);
        assert!(scene.lives.iter().all(|life| life.first_opened.is_some()), "every one is covered");
        assert_eq!(scene.epoch(&[(true, Low); 4]), (vec![None; 4], None));
    }

    #[test]
    fn it_is_raised_by_doubling_and_closed_with_its_last_cluster() {
        let mut scene = Scene::new(8);
        let mut words = [(false, Low); 8];
        let mut digests = Vec::new();
        for n in 0..8 {
            words[n].0 = true;
            digests.push(scene.epoch(&words).1);
        }
        let raised = |ordinal| Some((Change::Raised, ordinal));
        assert_eq!(digests, [None, None, Some((Change::Opened, 0)), raised(1), None, raised(2), None, None]);
        let calm = [(false, Low); 8];
        assert_eq!(scene.epoch(&calm), (vec![None; 8], None), "one calm judgement closes nothing");
        let (own, digest) = scene.epoch(&calm);
        assert_eq!((own[..3].to_vec(), digest), (vec![CLOSED, CLOSED, None], Some((Change::Closed, 3))));
        assert_eq!((scene.digest.n_now, scene.digest.n_ever), (0, 0));
        assert!(scene.lives.iter().all(|life| !life.in_digest));
    }

    #[test]
    fn whoever_becomes_critical_gets_an_alert_of_its_own() {
        let mut scene = Scene::new(4);
        let (own, _) = scene.epoch(&[(true, Low), (true, Low), (true, Low), (true, Critical)]);
        assert_eq!(own, [OPENED, OPENED, None, OPENED], "a critical one never waits");
        assert_eq!(scene.epoch(&[(true, Low), (true, Low), (true, High), (true, Critical)]).0, vec![None; 4]);
        let (own, digest) = scene.epoch(&[(true, Low), (true, Low), (true, Critical), (true, Critical)]);
        assert_eq!((own[2], digest), (OPENED, Some((Change::Closed, 1))), "nobody is left in the digest");
        let life = &scene.lives[2];
        assert_eq!((life.in_digest, life.told, life.next_ordinal), (false, Critical, 1));
        assert_eq!(scene.epoch(&[(true, Low), (true, Low), (false, Critical), (true, Critical)]).0[2], None);
        assert_eq!(scene.epoch(&[(true, Low), (true, Low), (false, Critical), (true, Critical)]).0[2], CLOSED);
    }

    #[test]
    fn an_hour_later_openings_are_told_one_by_one_again() {
        let mut scene = Scene::new(5);
        let mut words = [(true, Low), (true, Low), (true, Low), (false, Low), (false, Low)];
        scene.epoch(&words);
        scene.now = scene.now.plus(Millis::HOUR - 2 * Millis::MINUTE);
        words[3].0 = true;
        assert_eq!(scene.epoch(&words).0[3], None, "the hour is not over");
        words[4].0 = true;
        assert_eq!(scene.epoch(&words).0[4], OPENED);
        assert!(scene.lives[3].in_digest, "who was told by the digest stays there");
    }

    proptest! {
        #[test]
        fn no_cluster_is_lost_and_counts_agree(
            epochs in prop::collection::vec(prop::collection::vec((any::<bool>(), 0_usize..4), 6), 1..60),
        ) {
            let severities = [Low, Severity::Medium, High, Critical];
            let mut scene = Scene::new(6);
            let mut open = [false; 6];
            for epoch in epochs {
                let words: Vec<_> = epoch.iter().map(|(holds, at)| (*holds, severities[*at])).collect();
                let (own, digest) = scene.epoch(&words);
                for ((open, own), life) in open.iter_mut().zip(&own).zip(&scene.lives) {
                    match own {
                        Some(Change::Opened) => {
                            prop_assert!(!*open, "opened twice");
                            *open = true;
                        }
                        Some(Change::Raised) => prop_assert!(*open),
                        Some(Change::Closed) => {
                            prop_assert!(*open, "closed without an opening");
                            *open = false;
                        }
                        None => {}
                    }
                    // Whoever has an open life is told: by an alert of its own, or by the digest.
                    prop_assert_eq!(life.open_since.is_some(), *open || life.in_digest);
                    prop_assert!(!(*open && life.in_digest));
                }
                let n_now = scene.lives.iter().filter(|life| life.in_digest).count();
                prop_assert_eq!(n_now, usize::try_from(scene.digest.n_now).unwrap());
                prop_assert_eq!(scene.digest.name.is_some(), n_now > 0);
                prop_assert!(digest.is_none_or(|(change, ordinal)| (change == Change::Opened) == (ordinal == 0)));
            }
        }
    }
}
