//! What a model is worth on a labelled past: counts of events, campaigns, alerts.
//!
//! Reads where each event stands at the end ([`Rehearsal`]) and its label; gives the figures that an operator asks for.
//! An event is called hostile when its cluster is; in time when an alert covered it within [`PROMPT_MILLIS`] of the
//! event. Events of an authorised test count nowhere. Scores of several pasts, or of parts of one, can be added up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::Course;
use super::calibrate::BASE_RATE;
use super::rehearsal::{Opened, Rehearsal, Stand};
use super::reliability::{Errors, Reliability};
use super::sets::Label;
use crate::pipeline::alert::Verdict;
use crate::pipeline::event::Millis;
use crate::pipeline::judge::Calibration;
use crate::pipeline::observation::Observation;

/// An alert that covers an event after more than this came too late to do anything.
const PROMPT_MILLIS: i64 = 120_000;
/// An honest campaign with a greater share of false alarms is told.
const FALSE_SHARE_TOLD: f64 = 0.05;
/// A hostile campaign is found when at least this share of its events is called hostile.
const FOUND_SHARE: f64 = 0.5;

/// Counts of one campaign in one set.
#[derive(Debug, Clone, Default)]
pub(super) struct Campaign {
    n_events: u32,
    n_called: u32,
    n_prompt: u32,
    n_alerts: u32,
    times: Vec<Millis>,
    first_alert: Option<Millis>,
}

impl Campaign {
    fn share(&self) -> f64 {
        f64::from(self.n_called) / f64::from(self.n_events.max(1))
    }

    /// Events and seconds until the first alert, the event that it was raised at included.
    fn delay(&self) -> Option<(f64, f64)> {
        let alert = self.first_alert?;
        let n_events = self.times.iter().filter(|time| **time <= alert).count();
        let first = self.times.iter().min()?;
        let millis = u32::try_from(alert.since(*first)).unwrap_or(u32::MAX);
        Some((f64::from(u32::try_from(n_events).unwrap_or(u32::MAX)), f64::from(millis) / 1_000.0))
    }
}

/// Probabilities as the points alone say them, and through the model's map.
#[derive(Debug, Clone, Default)]
struct Probabilities {
    plain: Reliability,
    calibrated: Reliability,
}

impl Probabilities {
    /// Counts one; who has no points is told of with no probability at all.
    fn add(&mut self, calibration: &Calibration, points: Option<f64>, hostile: bool) {
        let told = |by: &Calibration| points.map_or(0.0, |points| by.probability(points));
        self.plain.add(told(&Calibration::NONE), hostile);
        self.calibrated.add(told(calibration), hostile);
    }
}

/// One event: its time, what is true of it, what is said of it.
type Told<'s> = (Millis, &'s Label, &'s Stand);

/// Counts over a set, or over parts of several.
#[derive(Debug, Clone, Default)]
pub(super) struct Score {
    campaigns: BTreeMap<(bool, String), Campaign>,
    /// By event, of the points of its sender.
    events: Probabilities,
    /// By alert, of the points of its cluster when it was opened.
    alerts: Probabilities,
    /// Alerts on clusters that are mostly honest at the end.
    n_false_alerts: u32,
    /// Alerts on clusters that are no more at the end: they became part of others.
    n_gone_alerts: u32,
    days: f64,
}

impl Score {
    /// Counts the events of a course whose label `counted` accepts, and the alerts on clusters of these.
    pub(super) fn add(&mut self, course: &Course<'_>, came: &Rehearsal, counted: impl Fn(&Label) -> bool) {
        let told = course.seen.iter().zip(&course.labels).zip(&came.stands);
        let told: Vec<Told<'_>> = told.map(|((o, label), stand)| (o.time, *label, stand)).collect();
        self.add_told(&course.name, &told, (&came.opened, &came.calibration), counted);
    }

    fn add_told(
        &mut self,
        set: &str,
        told: &[Told<'_>],
        (opened, calibration): (&[Opened], &Calibration),
        counted: impl Fn(&Label) -> bool,
    ) {
        let mut owners: BTreeMap<String, BTreeMap<(bool, &str), u32>> = BTreeMap::new();
        let mut counts: BTreeSet<(bool, &str)> = BTreeSet::new();
        for (time, label, stand) in told.iter().filter(|(_, label, _)| !label.authorised) {
            let campaign = (label.hostile, label.campaign.as_str());
            if counted(label) {
                self.event(set, *time, label, stand);
                self.events.add(calibration, stand.points, label.hostile);
                counts.insert(campaign);
            }
            if let Some(cluster) = stand.whereabouts.cluster {
                *owners.entry(cluster.to_string()).or_default().entry(campaign).or_default() += 1;
            }
        }
        for alert in opened {
            match owners.get(&alert.cluster).map(owner) {
                None => self.n_gone_alerts += 1,
                Some(Some(campaign)) if counts.contains(&campaign) => {
                    self.alert(set, campaign);
                    self.alerts.add(calibration, Some(alert.points), campaign.0);
                }
                Some(_) => {}
            }
        }
    }

    fn event(&mut self, set: &str, time: Millis, label: &Label, stand: &Stand) {
        let called = stand.whereabouts.verdict == Verdict::Hostile;
        let alert = stand.whereabouts.alerted_at;
        let campaign = self.campaigns.entry((label.hostile, format!("{set}/{}", label.campaign))).or_default();
        campaign.n_events += 1;
        campaign.n_called += u32::from(called);
        campaign.n_prompt += u32::from(alert.is_some_and(|alert| alert.since(time) <= PROMPT_MILLIS));
        campaign.times.push(time);
        let covered = alert.map(|alert| alert.max(time));
        campaign.first_alert = [campaign.first_alert, covered].into_iter().flatten().min();
    }

    fn alert(&mut self, set: &str, (hostile, name): (bool, &str)) {
        if hostile {
            self.campaigns.entry((true, format!("{set}/{name}"))).or_default().n_alerts += 1;
        } else {
            self.n_false_alerts += 1;
        }
    }

    /// Adds days that the false alarms are spread over.
    pub(super) fn add_days(&mut self, seen: &[Observation<'_>]) {
        self.days += days(seen);
    }

    fn sum(&self, hostile: bool, part: impl Fn(&Campaign) -> u32) -> f64 {
        f64::from(self.campaigns.iter().filter(|(name, _)| name.0 == hostile).map(|(_, c)| part(c)).sum::<u32>())
    }

    /// Precision, recall and their harmonic mean, over what `part` counts as called hostile.
    pub(super) fn shares(&self, part: impl Fn(&Campaign) -> u32) -> [f64; 3] {
        let (hostile, honest) = (self.sum(true, &part), self.sum(false, &part));
        let precision = hostile / (hostile + honest).max(1.0);
        let recall = hostile / self.sum(true, |campaign| campaign.n_events).max(1.0);
        [precision, recall, 2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE)]
    }

    /// The same for the verdicts at the end.
    pub(super) fn last(&self) -> [f64; 3] {
        self.shares(|campaign| campaign.n_called)
    }

    /// The same for the alerts in time.
    pub(super) fn prompt(&self) -> [f64; 3] {
        self.shares(|campaign| campaign.n_prompt)
    }

    fn hostile(&self) -> impl Iterator<Item = (&str, &Campaign)> {
        self.campaigns.iter().filter(|((hostile, _), _)| *hostile).map(|((_, name), c)| (name.as_str(), c))
    }

    /// Hostile campaigns that are found, and all of them.
    pub(super) fn n_found(&self) -> (usize, usize) {
        (self.hostile().filter(|(_, c)| c.share() >= FOUND_SHARE).count(), self.hostile().count())
    }

    /// Honest events that are called hostile, and those in 10,000.
    pub(super) fn false_events(&self) -> (f64, f64) {
        let n_false = self.sum(false, |campaign| campaign.n_called);
        (n_false, 10_000.0 * n_false / self.sum(false, |campaign| campaign.n_events).max(1.0))
    }

    /// Medians over the campaigns that an alert covered: events and seconds until then.
    pub(super) fn delays(&self) -> Option<(f64, f64)> {
        let (events, seconds): (Vec<f64>, Vec<f64>) = self.hostile().filter_map(|(_, c)| c.delay()).unzip();
        Some((median(events)?, median(seconds)?))
    }

    /// Recall of each hostile campaign, the best first.
    pub(super) fn recalls(&self) -> String {
        let mut hostile: Vec<(&str, &Campaign)> = self.hostile().collect();
        hostile.sort_by(|a, b| b.1.share().total_cmp(&a.1.share()).then_with(|| a.0.cmp(b.0)));
        let name = |name: &str| name.split('/').next_back().unwrap_or_default().to_owned();
        let words = hostile.iter().map(|(whole, campaign)| format!("{} {:.2}", name(whole), campaign.share()));
        words.collect::<Vec<_>>().join(", ")
    }

    /// What was told and what was true, by event and by alert, before and after the map; one line each.
    pub(super) fn reliability(&self) -> String {
        let mut text = String::new();
        for (name, both) in [("event", &self.events), ("alert", &self.alerts)] {
            // Writing into a text cannot fail.
            _ = writeln!(text, "    probabilities by {name}, of the points: {}", both.plain);
            _ = writeln!(text, "    probabilities by {name}, calibrated: {}", both.calibrated);
            let at = both.plain.errors_at(BASE_RATE).zip(both.calibrated.errors_at(BASE_RATE));
            if let Some((plain, calibrated)) = at.filter(|_| name == "event") {
                _ = writeln!(
                    text,
                    "    if {} of all events were hostile: Brier {:.4}, calibrated {:.4}; ECE {:.4}, calibrated {:.4}",
                    BASE_RATE, plain.brier, calibrated.brier, plain.ece, calibrated.ece
                );
            }
        }
        text
    }

    /// Everything as figures, those that the independent scorer has under its names and with its digits.
    pub(super) fn figures(&self) -> Value {
        let [precision, recall, f1] = self.last();
        let [prompt_precision, prompt_recall, prompt_f1] = self.prompt();
        let (n_found, n_hostile) = self.n_found();
        let (n_false, per_10k) = self.false_events();
        let often: Vec<&str> =
            self.often().map(|(name, _)| name.split_once('/').map_or(name, |(_, name)| name)).collect();
        let delays: Vec<(f64, f64)> =
            self.hostile().map(|(_, c)| c.delay().unwrap_or((f64::INFINITY, f64::INFINITY))).collect();
        let (events, seconds): (Vec<f64>, Vec<f64>) = delays.into_iter().unzip();
        // Infinity has no number in JSON.
        let middle =
            |all: Vec<f64>, digits| median(all).filter(|middle| middle.is_finite()).map(|m| rounded(m, digits));
        let n_told = self.sum(true, |campaign| campaign.n_alerts);
        let (plain, calibrated) = (self.events.plain.errors(), self.events.calibrated.errors());
        let by_alert = (self.alerts.plain.errors(), self.alerts.calibrated.errors());
        json!({
            "precision": rounded(precision, 4), "recall": rounded(recall, 4), "f1": rounded(f1, 4),
            "prompt_precision": rounded(prompt_precision, 4), "prompt_recall": rounded(prompt_recall, 4),
            "prompt_f1": rounded(prompt_f1, 4), "campaigns": n_hostile, "campaigns_found": n_found,
            "benign_over_5pct": often, "false_alarm_events": n_false,
            "false_alarms_per_10k_benign": rounded(per_10k, 2), "events_to_detect_median": middle(events, 1),
            "seconds_to_detect_median": middle(seconds, 1), "alerts_hostile": n_told,
            "alerts_benign": self.n_false_alerts, "alerts_unknown": self.n_gone_alerts,
            "false_alerts_a_day": rounded(self.false_alerts_a_day(), 2),
            "alerts_per_campaign": rounded(self.alerts_per_campaign(), 2),
            "brier": rounded(plain.brier, 4), "ece": rounded(plain.ece, 4),
            "brier_calibrated": rounded(calibrated.brier, 4), "ece_calibrated": rounded(calibrated.ece, 4),
            "ece_by_alert": rounded(by_alert.0.ece, 4), "ece_by_alert_calibrated": rounded(by_alert.1.ece, 4),
        })
    }

    /// Honest campaigns with more than a few false alarms.
    fn often(&self) -> impl Iterator<Item = (&str, &Campaign)> {
        let honest = self.campaigns.iter().filter(|((hostile, _), c)| !hostile && c.share() > FALSE_SHARE_TOLD);
        honest.map(|((_, name), c)| (name.as_str(), c))
    }

    /// Alerts on clusters that are mostly honest, a day.
    pub(super) fn false_alerts_a_day(&self) -> f64 {
        f64::from(self.n_false_alerts) / self.days.max(f64::MIN_POSITIVE)
    }

    /// Alerts on each hostile campaign that has any.
    fn alerts_per_campaign(&self) -> f64 {
        let n_alerted = self.hostile().filter(|(_, c)| c.n_alerts > 0).count();
        self.sum(true, |campaign| campaign.n_alerts) / f64::from(u32::try_from(n_alerted.max(1)).unwrap_or(u32::MAX))
    }
}

/// A number with so many digits after the point.
fn rounded(number: f64, digits: usize) -> f64 {
    format!("{number:.digits$}").parse().unwrap_or(number)
}

/// Whose an alert on a cluster with these events is: the hostile campaign with most of them where at least half of all
/// are hostile, else the honest one.
fn owner<'l>(campaigns: &BTreeMap<(bool, &'l str), u32>) -> Option<(bool, &'l str)> {
    let of = |hostile: bool| campaigns.iter().filter(move |(campaign, _)| campaign.0 == hostile);
    let sum = |hostile: bool| of(hostile).map(|(_, n)| n).sum::<u32>();
    of(sum(true) >= sum(false)).max_by_key(|(_, n)| **n).map(|(campaign, _)| *campaign)
}

/// The middle of some numbers; of two, the mean.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers.get(numbers.len() / 2)?;
    let lower = numbers.get(numbers.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The length of a past, in days.
pub(super) fn days(seen: &[Observation<'_>]) -> f64 {
    let time = |o: Option<&Observation<'_>>| o.map_or(Millis(0), |o| o.time);
    let minutes = time(seen.last()).since(time(seen.first())) / Millis::MINUTE;
    f64::from(u32::try_from(minutes).unwrap_or(0)) / (24.0 * 60.0)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_found, n_hostile) = self.n_found();
        let often: Vec<String> = self.often().map(|(name, c)| format!("{name} {:.2}", c.share())).collect();
        if n_hostile > 0 {
            let [precision, recall, f1] = self.last();
            let [_, _, prompt] = self.prompt();
            write!(f, "F1 {f1:.3} (P {precision:.3} R {recall:.3}), within 120 s {prompt:.3}, ")?;
            write!(f, "{n_found} of {n_hostile} campaigns, {:.1} alerts each, ", self.alerts_per_campaign())?;
            if let Some((events, seconds)) = self.delays() {
                write!(f, "first after {events:.0} events and {seconds:.0} s, ")?;
            }
        }
        let (n_false, per_10k) = self.false_events();
        let (Errors { brier, ece }, a_day) = (self.events.calibrated.errors(), self.false_alerts_a_day());
        write!(f, "{n_false} false events ({per_10k:.1} in 10,000), {a_day:.1} false alerts a day")?;
        if self.n_gone_alerts > 0 {
            write!(f, ", {} alerts on clusters that became part of others", self.n_gone_alerts)?;
        }
        write!(f, ", Brier {brier:.3}, ECE {ece:.3}, honest campaigns over 5 %: ")?;
        f.write_str(&if often.is_empty() { "none".to_owned() } else { often.join(", ") })
    }
}

#[cfg(test)]
mod tests;
