//! What a SOC is told of a hostile cluster beside the evidence: a title in words, how sure and how bad, a technique, a
//! next step, searches.
//!
//! Reads a [`Case`]: the portrait with its judgement, the strongest suspect, a few counts. Gives the same portrait with
//! these parts filled. Every word comes from a written table ([`deeds`], [`technique`], [`severity`], [`step`],
//! [`searches`]) and every number from the portrait; a cluster that is not hostile keeps the neutral title and gets no
//! technique, no step and no searches. Names in texts were neutralised when they were learnt and are cut here; no value
//! of a payload or a token comes this far.
//!
//! Costs some microseconds, and is paid once for an alert or a line of a report, never for an event.

pub mod deeds;
pub mod searches;
pub mod severity;
pub mod step;
pub mod technique;

use super::alert::{Portrait, Verdict};
use super::judge::Weighed;
use super::judge::evidence::Fact;

/// A hostile cluster as it is told.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Lists, counts and judgement.
    pub portrait: &'a Portrait,
    /// The suspect whose evidence was shown; `None` where nobody is suspect any more.
    pub lead: Option<&'a Weighed>,
    /// Distinct tokens that its suspects use, accepted by the service.
    pub tokens: u64,
    /// Minutes from the first event to the last, begun ones counted.
    pub minutes: u64,
}

impl Case<'_> {
    /// A fact about the lead, where it speaks against it.
    fn against(&self, fact: Fact) -> Option<f64> {
        let at = usize::from(fact as u8);
        let lead = self.lead?;
        let points = lead.terms.get(at).copied().unwrap_or(0);
        (points > 0).then(|| lead.facts.get(at))
    }

    /// Events with one of these outcomes.
    fn ended(&self, outcomes: &[&str]) -> u64 {
        let of = self.portrait.recovery.iter().filter(|counted| outcomes.contains(&counted.name.as_str()));
        of.map(|counted| counted.events).sum()
    }

    /// All events with an outcome, those that nobody knows among them.
    fn ended_anyhow(&self) -> u64 {
        self.portrait.recovery.iter().map(|counted| counted.events).sum()
    }
}

/// Faults that took their instance with them.
const FATAL: [&str; 2] = ["aborted", "suspected_abort"];
/// Faults that left their boundary, the fatal ones among them.
const LOST: [&str; 3] = ["escaped", "aborted", "suspected_abort"];

/// The portrait with title, technique and next step as the evidence has them; searches are the alert's to add, since
/// they name the places that alerts are sent to.
pub fn told(case: &Case<'_>) -> Portrait {
    let mut portrait = case.portrait.clone();
    if portrait.verdict == Verdict::Hostile {
        portrait.technique = technique::of(case);
        portrait.next_step = step::of(case, portrait.technique.as_ref());
        portrait.title = deeds::title(case);
    }
    portrait
}
