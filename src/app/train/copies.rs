//! Altered copies of a labelled set: what the same campaigns would look like from elsewhere.
//!
//! A set has few campaigns, and each was sent in one way: from one address or from hundreds, with one program, in an
//! hour. What is learned from it alone is that way. In a copy each hostile campaign is thinned to 5 to 60 events, and in
//! a [`Copy::dealt`] one many campaigns, hostile and honest, come from one address or from many, with another program,
//! with a token of somebody else or without, spread over other hours. Contents stay. Draws are keyed by the number of
//! the copy and the name of the campaign, so that a copy is always the same.

use std::collections::BTreeMap;

use super::sets::Label;
use crate::pipeline::actor;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::{Observation, Source, TokenUse};

/// Events that a thinned campaign has at least.
const THINNED_MIN: f64 = 5.0;
/// How many times more it has at most.
const THINNED_TIMES: f64 = 12.0;
/// Share of hostile campaigns that are dealt out anew in a dealt copy.
const DEALT_HOSTILE: f64 = 0.7;
/// Share of honest ones: most stay, since the normal is made of them.
const DEALT_HONEST: f64 = 0.3;

/// How a copy differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    /// Its number; every number gives other draws.
    pub(super) number: u32,
    /// Campaigns are dealt out anew, too.
    pub(super) dealt: bool,
}

/// How the hostile campaigns of a tested set are altered; nothing honest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alteration {
    /// 5 to 60 events of each are left.
    Thinned,
    /// Other addresses: one that nobody had, or one for each few events, in networks of honest senders.
    Moved,
    /// Nobody shows a token.
    Stripped,
}

impl Alteration {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Thinned, Self::Moved, Self::Stripped];

    /// What is told of it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Thinned => "hostile campaigns thinned to 5 to 60 events",
            Self::Moved => "hostile campaigns from other addresses",
            Self::Stripped => "hostile campaigns without tokens",
        }
    }
}

/// Numbers of altered test sets begin here: none has the draws of a copy that was learned from.
const ALTERED_FROM: u32 = 1_000;

/// Draws of a pseudo-random sequence (`SplitMix64`): repeatable, for no secret.
struct Draws(u64);

impl Draws {
    fn of(copy: Copy, name: &str) -> Self {
        Self(name.bytes().fold(u64::from(copy.number) + 1, |sum, byte| scramble(sum ^ u64::from(byte))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// From 0 to less than 1, in steps of 2^-32.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }

    fn one_of<'s, T>(&mut self, all: &'s [T]) -> Option<&'s T> {
        all.get(whole(self.unit() * f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX))))
    }
}

fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A count from a number that is small and not negative.
fn whole(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; counts of events")]
    let whole = number as usize;
    whole
}

/// The events of one campaign, with their labels.
type Campaign<'o, 'a, 'l> = Vec<(&'o Observation<'a>, &'l Label)>;

/// Makes a copy of a set in the order of time.
pub(super) fn copy<'a, 'l>(
    seen: &[Observation<'a>],
    labels: &[&'l Label],
    copy: Copy,
) -> (Vec<Observation<'a>>, Vec<&'l Label>) {
    let (campaigns, honest) = apart(seen, labels);
    let dealer = Dealer { honest: &honest, first: time(seen.first()), last: time(seen.last()) };
    let mut copied = Vec::with_capacity(seen.len());
    for ((hostile, authorised, name), mut events) in campaigns {
        let mut draws = Draws::of(copy, name);
        if hostile {
            thin(&mut events, &mut draws);
        }
        let share = if hostile { DEALT_HOSTILE } else { DEALT_HONEST };
        if copy.dealt && !authorised && draws.unit() < share {
            copied.extend(dealer.deal(&events, hostile, &mut draws));
        } else {
            copied.extend(events.into_iter().map(|(o, label)| (o.clone(), label)));
        }
    }
    copied.sort_by_key(|(o, _)| (o.time, o.event));
    copied.into_iter().unzip()
}

/// Makes an altered set to test on, in the order of time; another `number` draws otherwise.
pub(super) fn alter<'a, 'l>(
    seen: &[Observation<'a>],
    labels: &[&'l Label],
    how: Alteration,
    number: u32,
) -> (Vec<Observation<'a>>, Vec<&'l Label>) {
    let (campaigns, honest) = apart(seen, labels);
    let dealer = Dealer { honest: &honest, first: time(seen.first()), last: time(seen.last()) };
    let mut altered = Vec::with_capacity(seen.len());
    for ((hostile, _, name), mut events) in campaigns {
        let mut draws = Draws::of(Copy { number: ALTERED_FROM + number, dealt: false }, name);
        let mut sources = Vec::new();
        match how {
            _ if !hostile => {}
            Alteration::Thinned => thin(&mut events, &mut draws),
            Alteration::Moved => sources = dealer.new_sources(events.len(), &mut draws),
            Alteration::Stripped => {}
        }
        for (event, label) in events {
            let mut o = event.clone();
            if let Some(source) = draws.one_of(&sources) {
                o.source = source.clone();
            }
            if hostile && how == Alteration::Stripped {
                o.token = None;
            }
            o.actor = actor(o.token.as_ref(), &o.source, o.agent_family);
            altered.push((o, label));
        }
    }
    altered.sort_by_key(|(o, _)| (o.time, o.event));
    altered.into_iter().unzip()
}

/// Campaigns by what is true of them and by name.
type Campaigns<'o, 'a, 'l> = BTreeMap<(bool, bool, &'l str), Campaign<'o, 'a, 'l>>;

/// The campaigns of a set, and its honest events.
fn apart<'o, 'a, 'l>(
    seen: &'o [Observation<'a>],
    labels: &[&'l Label],
) -> (Campaigns<'o, 'a, 'l>, Vec<&'o Observation<'a>>) {
    let mut campaigns: Campaigns<'o, 'a, 'l> = BTreeMap::new();
    let mut honest = Vec::new();
    for (o, label) in seen.iter().zip(labels) {
        let key = (label.hostile, label.authorised, label.campaign.as_str());
        campaigns.entry(key).or_default().push((o, *label));
        if !label.hostile && !label.authorised {
            honest.push(o);
        }
    }
    (campaigns, honest)
}

fn time(o: Option<&Observation<'_>>) -> Millis {
    o.map_or(Millis(0), |o| o.time)
}

/// Leaves 5 to 60 events, as many tens as ones: small campaigns are the rule.
fn thin(events: &mut Vec<(&Observation<'_>, &Label)>, draws: &mut Draws) {
    let n_kept = whole(THINNED_MIN * THINNED_TIMES.powf(draws.unit()));
    if draws.unit() < 0.5 {
        // A campaign that was broken off: what follows on one another stays together.
        let n_before = whole(draws.unit() * f64::from(u32::try_from(events.len()).unwrap_or(u32::MAX)));
        let n_before = n_before.min(events.len().saturating_sub(n_kept));
        events.rotate_left(n_before);
        events.truncate(n_kept);
        return;
    }
    let seed = draws.next();
    events.sort_by_key(|(o, _)| scramble(o.event.0 ^ seed));
    events.truncate(n_kept);
    events.sort_by_key(|(o, _)| (o.time, o.event));
}

/// What becomes of one thing that senders have.
#[derive(Debug, Clone)]
enum Dealt<T> {
    /// As it was.
    Kept,
    /// Another one, or none.
    Now(Option<T>),
}

impl<T: Clone> Dealt<T> {
    fn over(&self, was: &mut Option<T>) {
        if let Self::Now(now) = self {
            was.clone_from(now);
        }
    }
}

/// What campaigns are dealt out over.
struct Dealer<'o, 'a> {
    honest: &'o [&'o Observation<'a>],
    first: Millis,
    last: Millis,
}

impl<'a> Dealer<'_, 'a> {
    fn deal<'l>(
        &self,
        events: &[(&Observation<'a>, &'l Label)],
        hostile: bool,
        draws: &mut Draws,
    ) -> Vec<(Observation<'a>, &'l Label)> {
        let sources = self.sources(events.len(), draws);
        let program = self.program(&sources, draws);
        let token = if hostile { self.token(draws) } else { Dealt::Kept };
        let times = self.times(events.len(), draws);
        let deal = |(at, (event, label)): (usize, &(&Observation<'a>, &'l Label))| {
            let mut o = (*event).clone();
            // One program at each address.
            let one_each: Vec<_> = sources.iter().zip(program.iter().cycle()).collect();
            if let Some((source, program)) = draws.one_of(&one_each) {
                o.source = (*source).clone();
                program.over(&mut o.agent_family);
            }
            token.over(&mut o.token);
            o.time = times.get(at).copied().unwrap_or(o.time);
            o.actor = actor(o.token.as_ref(), &o.source, o.agent_family);
            (o, *label)
        };
        events.iter().enumerate().map(deal).collect()
    }

    /// New addresses: none (as it was), one, that of somebody honest, or one for each few events.
    fn sources(&self, n_events: usize, draws: &mut Draws) -> Vec<Source> {
        let kind = draws.unit();
        let per_address = 1.0 + 3.0 * draws.unit();
        let n_events = f64::from(u32::try_from(n_events).unwrap_or(u32::MAX));
        let n_sources = match kind {
            kind if kind < 0.4 => 0,
            kind if kind < 0.7 => 1,
            _ => 1 + whole(n_events / per_address),
        };
        let shared = (0.6..0.7).contains(&kind);
        let source = |_| {
            let mut source = draws.one_of(self.honest)?.source.clone();
            let id = Id(draws.next());
            if !shared {
                (source.address_id, source.prefix_id) = (Some(id), Some(id));
            }
            Some(source)
        };
        (0..n_sources).filter_map(source).collect()
    }

    /// New addresses in any case: one, or one for each few events, as many campaigns the one as the other.
    fn new_sources(&self, n_events: usize, draws: &mut Draws) -> Vec<Source> {
        let n_events = f64::from(u32::try_from(n_events).unwrap_or(u32::MAX));
        let n_sources = if draws.unit() < 0.5 { 1 } else { 1 + whole(n_events / (1.0 + 3.0 * draws.unit())) };
        let source = |_| {
            let id = Some(Id(draws.next()));
            Some(Source { address_id: id, prefix_id: id, ..draws.one_of(self.honest)?.source.clone() })
        };
        (0..n_sources).filter_map(source).collect()
    }

    /// New programs: none (as it was), one of its own, or those of honest senders.
    fn program(&self, sources: &[Source], draws: &mut Draws) -> Vec<Dealt<Id>> {
        let kind = draws.unit();
        let own = Some(Id(draws.next()));
        match kind {
            kind if kind < 0.4 => vec![Dealt::Kept],
            kind if kind < 0.6 => vec![Dealt::Now(own)],
            _ => sources.iter().filter_map(|_| Some(Dealt::Now(draws.one_of(self.honest)?.agent_family))).collect(),
        }
    }

    /// Another token for the whole campaign: as it was, none, or an honest one that was stolen.
    fn token(&self, draws: &mut Draws) -> Dealt<TokenUse> {
        let kind = draws.unit();
        let stolen = |draws: &mut Draws| {
            let token = draws.one_of(self.honest)?.token.clone();
            token.filter(|token| token.valid == Some(true))
        };
        match kind {
            kind if kind < 0.5 => Dealt::Kept,
            kind if kind < 0.75 => Dealt::Now(None),
            _ => (0..8).find_map(|_| stolen(draws)).map_or(Dealt::Kept, |token| Dealt::Now(Some(token))),
        }
    }

    /// New times: none (as it was), or a window of 20 minutes to 30 hours within the set.
    fn times(&self, n_events: usize, draws: &mut Draws) -> Vec<Millis> {
        const WINDOW_MILLIS_MIN: f64 = 20.0 * 60_000.0;
        const WINDOW_TIMES: f64 = 90.0;
        if draws.unit() < 0.6 {
            return Vec::new();
        }
        let millis = |number: f64| i64::try_from(whole(number)).unwrap_or(0);
        let span = f64::from(u32::try_from(self.last.since(self.first)).unwrap_or(u32::MAX));
        let window = (WINDOW_MILLIS_MIN * WINDOW_TIMES.powf(draws.unit())).min(span);
        let begin = self.first.plus(millis(draws.unit() * (span - window)));
        let mut times: Vec<Millis> = (0..n_events).map(|_| begin.plus(millis(draws.unit() * window))).collect();
        times.sort_unstable();
        times
    }
}

#[cfg(test)]
mod tests;
