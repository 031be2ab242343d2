//! What a run of the judge is worth: counts of events, campaigns, false alarms.
//!
//! An event is called hostile when its sender is a suspect at the end of the run: what a cluster says of it follows from
//! that. Events of an authorised test count nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Course;
use super::sets::Label;
use crate::pipeline::event::Millis;
use crate::pipeline::judge::lessons::Past;
use crate::pipeline::observation::{Actor, Observation};

/// An honest campaign with a greater share of false alarms is told.
const FALSE_SHARE_TOLD: f64 = 0.05;

/// Counts of one campaign.
#[derive(Debug, Clone, Copy, Default)]
struct Campaign {
    hostile: bool,
    n_events: u32,
    n_called: u32,
}

impl Campaign {
    fn share(self) -> f64 {
        f64::from(self.n_called) / f64::from(self.n_events.max(1))
    }
}

/// Counts over a set, or over parts of several.
#[derive(Debug, Default)]
pub(super) struct Score {
    campaigns: BTreeMap<String, Campaign>,
    /// Honest senders that are suspects, by set.
    false_actors: BTreeSet<(String, Actor)>,
    days: f64,
}

impl Score {
    /// Counts the events of a course whose label `counted` accepts.
    pub(super) fn add(&mut self, course: &Course<'_>, past: &Past, counted: impl Fn(&Label) -> bool) {
        let Course { name: set, seen, labels, .. } = course;
        for (o, label) in seen.iter().zip(labels).filter(|(_, label)| !label.authorised && counted(label)) {
            let called = past.suspect_since.contains_key(&o.actor);
            let campaign = self.campaigns.entry(format!("{set}/{}", label.campaign)).or_default();
            campaign.hostile |= label.hostile;
            campaign.n_events += 1;
            campaign.n_called += u32::from(called);
            if called && !label.hostile {
                self.false_actors.insert((set.clone(), o.actor));
            }
        }
    }

    /// Adds days that the false alarms are spread over.
    pub(super) fn add_days(&mut self, seen: &[Observation<'_>]) {
        self.days += days(seen);
    }

    fn sum(&self, hostile: bool, part: impl Fn(&Campaign) -> u32) -> f64 {
        f64::from(self.campaigns.values().filter(|c| c.hostile == hostile).map(part).sum::<u32>())
    }

    /// Precision, recall and their harmonic mean.
    pub(super) fn shares(&self) -> [f64; 3] {
        let called = |hostile: bool| self.sum(hostile, |campaign| campaign.n_called);
        let precision = called(true) / (called(true) + called(false)).max(1.0);
        let recall = called(true) / self.sum(true, |campaign| campaign.n_events).max(1.0);
        [precision, recall, 2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE)]
    }
}

/// The length of a past, in days.
pub(super) fn days(seen: &[Observation<'_>]) -> f64 {
    let time = |o: Option<&Observation<'_>>| o.map_or(Millis(0), |o| o.time);
    let minutes = time(seen.last()).since(time(seen.first())) / Millis::MINUTE;
    f64::from(u32::try_from(minutes).unwrap_or(0)) / (24.0 * 60.0)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [precision, recall, f1] = self.shares();
        let hostile: Vec<&Campaign> = self.campaigns.values().filter(|campaign| campaign.hostile).collect();
        let n_found = hostile.iter().filter(|campaign| campaign.share() >= 0.5).count();
        let n_false = self.sum(false, |campaign| campaign.n_called);
        let honest = self.campaigns.iter().filter(|(_, campaign)| !campaign.hostile);
        let often: Vec<String> = honest
            .filter(|(_, campaign)| campaign.share() > FALSE_SHARE_TOLD)
            .map(|(name, campaign)| format!("{name} {:.2}", campaign.share()))
            .collect();
        if !hostile.is_empty() {
            write!(f, "F1 {f1:.3} (P {precision:.3} R {recall:.3}), {n_found} of {} campaigns, ", hostile.len())?;
        }
        write!(
            f,
            "{n_false} false events, {:.1} false senders a day, honest campaigns over 5 %: {}",
            f64::from(u32::try_from(self.false_actors.len()).unwrap_or(u32::MAX)) / self.days.max(f64::MIN_POSITIVE),
            if often.is_empty() { "none".to_owned() } else { often.join(", ") }
        )
    }
}

impl Score {
    /// Recall of each hostile campaign, the best first.
    pub(super) fn recalls(&self) -> String {
        let mut hostile: Vec<(&String, &Campaign)> = self.campaigns.iter().filter(|(_, c)| c.hostile).collect();
        hostile.sort_by(|a, b| b.1.share().total_cmp(&a.1.share()).then_with(|| a.0.cmp(b.0)));
        let words = hostile.iter().map(|(name, campaign)| {
            format!("{} {:.2}", name.split('/').next_back().unwrap_or_default(), campaign.share())
        });
        words.collect::<Vec<_>>().join(", ")
    }
}
