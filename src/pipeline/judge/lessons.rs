//! A labelled past, run through the judge: what it knew of each sender when each event had come.
//!
//! Reads observations in the order of time, and samples of ordinary requests; gives one [`Lesson`] for each sender and
//! epoch with events of it, with the very facts that the judge weighs then, and who is suspect at the end. The same
//! record as in the service, so a lesson holds nothing that the judge could not know. No label is read here. Cost: that
//! of judging, and 300 bytes a lesson.

use std::collections::{BTreeMap, BTreeSet};

use super::Record;
use super::evidence::Facts;
use super::model::{HostilityModel, Weighed};
use crate::pipeline::event::Millis;
use crate::pipeline::observation::{Actor, ByTime, Observation, OrdinaryRequest};

/// What was known of a sender at the end of an epoch in which it sent something.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Who.
    pub actor: Actor,
    /// End of the epoch.
    pub at: Millis,
    /// Which of the observations are its events of this epoch.
    pub events: Vec<usize>,
    /// The facts.
    pub facts: Facts,
    /// It had more than an accident behind it: several contents, or company.
    pub habit: bool,
    /// Its points under the model of the run, hundredths.
    pub centipoints: i32,
}

/// A run over a past.
#[derive(Debug, Default)]
pub struct Past {
    /// The lessons, in the order of time.
    pub lessons: Vec<Lesson>,
    /// Who is suspect at the end, and since when without a break.
    pub suspect_since: BTreeMap<Actor, Millis>,
}

/// Runs over `seen` and over the `ordinary` requests, each in the order of time, in epochs of `epoch_secs`. Announced
/// tests are left out. Ordinary requests are heard when [`fold`](crate::pipeline::fold) hears them.
pub fn run(seen: &[Observation<'_>], mut ordinary: ByTime<'_>, model: &HostilityModel, epoch_secs: u32) -> Past {
    let length = i64::from(epoch_secs.max(1)) * Millis::SECOND;
    let mut past = Past::default();
    let mut record = Record::default();
    let mut open: Option<Millis> = None;
    let mut events: BTreeMap<Actor, Vec<usize>> = BTreeMap::new();
    for (at, o) in seen.iter().enumerate().filter(|(_, o)| o.expected.is_none()) {
        let start = Millis(o.time.0.div_euclid(length).saturating_mul(length));
        let end = open.map_or(o.time, |open| open.plus(length));
        hear(&mut record, ordinary.before(o.time.min(end)));
        if let Some(before) = open.filter(|before| start > *before) {
            past.close(&mut record, model, before.plus(length), &mut events);
            if start > before.plus(length) {
                past.close(&mut record, model, start, &mut events);
            }
        }
        open = Some(open.map_or(start, |open| open.max(start)));
        hear(&mut record, ordinary.before(o.time));
        record.observe(o);
        events.entry(o.actor).or_default().push(at);
    }
    if let Some(open) = open {
        hear(&mut record, ordinary.before(open.plus(length)));
        past.close(&mut record, model, open.plus(length), &mut events);
    }
    past
}

fn hear(record: &mut Record, requests: &[OrdinaryRequest]) {
    for request in requests {
        record.observe_ordinary(request);
    }
}

impl Past {
    fn close(
        &mut self,
        record: &mut Record,
        model: &HostilityModel,
        now: Millis,
        events: &mut BTreeMap<Actor, Vec<usize>>,
    ) {
        let told: BTreeSet<Actor> = record.close_epoch(model, now);
        for actor in told {
            if record.current_suspects().contains_key(&actor) {
                self.suspect_since.entry(actor).or_insert(now);
            } else {
                self.suspect_since.remove(&actor);
            }
        }
        for (actor, events) in std::mem::take(events) {
            let Some(weighed) = record.weigh(model, &actor) else { continue };
            let habit = record.has_habit(&actor, &weighed);
            let Weighed { facts, centipoints, .. } = weighed;
            self.lessons.push(Lesson { actor, at: now, events, facts, habit, centipoints });
        }
    }
}
