//! Evidence → verdict: who is suspect, which cluster is hostile, and why.
//!
//! [`Record::observe`] weighs each event against the normal of others at arrival ([`observe`]) and adds it to what its
//! sender did ([`actors`]); the payload is gone after that. [`Record::suspects`] settles an epoch: every actor that
//! sent something tells its neighbourhoods ([`neighbours`]) what it is like, hears what the others there are like, and
//! is weighed ([`evidence`], [`model`]). [`judge_cluster`] then speaks about a cluster of cells.
//!
//! An actor is a token as one client uses it from one network, or a source prefix: whoever steals a token is judged apart
//! from its owner. All who use one token are one witness to the normal ([`sender`]).
//!
//! Two levels: an actor is suspect by its own conduct and its company; a cluster is hostile by its suspects. A suspect's
//! events have the verdict of the cluster that it is of, everybody else's that of the cluster of their cell. When an actor
//! turns suspect its earlier events turn with it.
//!
//! Causal: nothing later than the event itself, or than the epoch, is used. Warm-up: a place that fewer than
//! [`normal::OTHERS_MIN`] others have been to surprises nobody, so the first hour of a service says little; conduct
//! that needs no normal (one token in many networks, keys used again) counts from the first event.
//!
//! Who goes along the numbers of records is seen by what is asked for next to each ([`numbers`]).
//!
//! Samples of requests that did not panic, where a deployment has them, teach the normal and say how often a sender
//! succeeds ([`ordinary`]).
//!
//! A record is kept as rows ([`stored`]); one that was restored says what it would have said without.
//!
//! Secondary panics bear no evidence and join no company. An attempt counter by itself is worth nothing: a retry is genuine when the same
//! content comes again with it. Never here: values, names, a clock, a file. Bounds: [`ACTORS_MAX`] actors with 64
//! cells each, and the bounds of the parts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::event::{Id, Millis};
use super::fingerprint::RecordNumber;
use super::observation::{Actor, CellKey, Observation, TokenUse};

pub mod actors;
pub mod by_id;
pub mod evidence;
pub mod fit;
pub mod lessons;
pub mod model;
pub mod neighbours;
pub mod normal;
pub mod numbers;
pub mod observe;
pub mod ordinary;
pub mod reuse;
pub mod stored;
pub mod verdict;

pub use model::{Calibration, HostilityModel, ModelError, OperatingPoint, Weighed};
pub use verdict::{ClusterView, Judgement, judge_cluster};

use actors::{Conduct, Touch};
use evidence::{Facts, Near, TokenCompany};
use neighbours::{Neighbours, Strangers, Word, cell_place, site_place, token_place};
use normal::{Normal, Refund, Sender, Trust};
use numbers::Numbers;
use observe::{mix, route_place};
use ordinary::Ordinary;
use reuse::{First, Firsts};

/// Actors that are remembered.
const ACTORS_MAX: usize = 4_096;
/// Actors that are kept when the record is full: an eighth goes at a time, so that evicting is rare.
const ACTORS_KEPT: usize = ACTORS_MAX / 8 * 7;
/// Actors within an epoch: a flood of new ones makes room before its end. (Of what it brought, each some 3 kB, a hundred
/// thousand would be there by then.)
const ACTORS_AT_ONCE: usize = ACTORS_MAX + ACTORS_MAX / 8;
/// An event discovers something from this surprise on: 3 bits, one in eight.
const DISCOVERY_CENTIBITS: u16 = 300;
/// An event is odd from this surprise on.
const ODD_CENTIBITS: u16 = 100;
/// Every actor is weighed anew after this time, touched or not: its neighbours may have changed.
const SWEEP_MILLIS: i64 = Millis::MINUTE;
/// Different contents from which conduct is a habit rather than an accident.
const HABIT_CONTENTS: u32 = 2;
/// Points of neighbours, in hundredths, that stand for a habit: a campaign of one event an address has only these.
const COMPANY_CENTIPOINTS: i32 = 50;

/// Parties of one token that are told from strangers; beyond that it is everybody's token.
const PARTIES_MAX: usize = 64;

/// What is remembered of one actor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Dossier {
    conduct: Conduct,
    /// By what name its word counts in the normal: all who use one token are one witness.
    witness: u32,
    /// Neighbourhoods it joined.
    joined: BTreeSet<Id>,
    /// What it told them last.
    word: Word,
    /// While it is suspect: how it stood when the evidence was strongest. That is what an alert tells.
    strongest: Option<Weighed>,
    /// All its events, for a portrait. In a box: it is large and seldom read.
    summary: Box<Cell>,
    /// It did something, or lost something, since the last epoch.
    waiting: bool,
    /// It changed since it was last stored.
    #[serde(skip)]
    unsaved: bool,
    /// Its neighbourhoods (in [`Neighbours::now`]) when it last spoke; nothing new since then, the same word. 0: never.
    #[serde(skip)]
    spoke_at: u64,
    /// The same for when it was last weighed.
    #[serde(skip)]
    weighed_at: u64,
}

impl Dossier {
    /// Notes that it is to be stored, in `changed`.
    fn change(&mut self, actor: Actor, changed: &mut Vec<Actor>) {
        if !self.unsaved {
            self.unsaved = true;
            changed.push(actor);
        }
    }

    /// Notes that it is to be weighed, in `touched`, and stored.
    fn touch(&mut self, actor: Actor, touched: &mut Vec<Actor>, changed: &mut Vec<Actor>) {
        if !self.waiting {
            self.waiting = true;
            touched.push(actor);
        }
        self.change(actor, changed);
    }

    /// Its neighbourhoods, with its first and last event there.
    fn places(&self) -> impl Iterator<Item = (Id, Millis, Millis)> {
        let conduct = &self.conduct;
        let cells = conduct.ledger.iter().flat_map(|(cell, touch)| {
            [(cell_place(cell), touch.first, touch.last), (site_place(cell), touch.first, touch.last)]
        });
        let few = conduct.families.iter().chain(conduct.asns.iter()).chain(conduct.addresses.iter());
        let few = few.chain(conduct.token);
        cells.chain(few.map(|place| (place, conduct.first, conduct.last)))
    }
}

/// All that the judge remembers of a tenant. One owner; `observe` and `suspects` are the only changes.
#[derive(Debug, Default)]
pub struct Record {
    actors: BTreeMap<Actor, Dossier>,
    /// By the place of a token: the actors that use it.
    parties: BTreeMap<Id, BTreeSet<Actor>>,
    normal: Normal,
    neighbours: Neighbours,
    keys: Firsts,
    numbers: Numbers,
    trust: Trust,
    ordinary: Ordinary,
    suspects: BTreeMap<Actor, Weighed>,
    /// Who is to be weighed at the end of the epoch, each once.
    touched: Vec<Actor>,
    /// Who is to be stored; some may stand twice.
    changed: Vec<Actor>,
    /// Actors whose standing as a suspect changed since the last epoch.
    reweighed: BTreeSet<Actor>,
    swept: Millis,
    swept_stored: Millis,
    /// The model of the last epoch: with another one everybody is weighed anew.
    model: Option<HostilityModel>,
}

impl Record {
    /// Takes an event in, in order of arrival. A consequence of an earlier panic is not taken in at all: whoever meets a
    /// poisoned lock may have sent anything, and where he sent it, with which token and in what company says nothing.
    /// So his share of such a cell is everyone's, and a cluster of consequences alone has no suspects.
    pub fn observe(&mut self, o: &Observation<'_>) {
        if o.actor == Actor::Unknown || o.panic.secondary {
            return;
        }
        let who = sender(o);
        let family = family(o);
        let surprises = observe::weigh(&mut self.normal, &self.trust, o, who);
        let known_key = o
            .idempotency
            .and_then(|key| self.keys.meet(mix(o.cell.service, key), First { sender: who, content: o.content }));
        let record = record(o).map(|record| (record, self.numbers.ask(record, o.time)));
        if self.actors.len() >= ACTORS_AT_ONCE && !self.actors.contains_key(&o.actor) {
            self.make_room();
        }
        let dossier = self.actors.entry(o.actor).or_default();
        dossier.touch(o.actor, &mut self.touched, &mut self.changed);
        dossier.witness = who.actor;
        dossier.summary.add(o);
        let conduct = &mut dossier.conduct;
        conduct.count(o.time);
        let mut centibits = 0;
        for (sum, bits) in surprises.first_times() {
            conduct.add_surprise_at(sum, bits);
            centibits += u32::from(bits);
        }
        conduct.discoveries += u32::from(surprises.first_times().any(|(_, bits)| bits >= DISCOVERY_CENTIBITS));
        conduct.odd += u32::from(surprises.is_odd(ODD_CENTIBITS));
        conduct.marked += u32::from(surprises.is_marked());
        let new_cell = conduct.touch(o.cell, o.time, centibits, family);
        note_places(conduct, o, family);
        conduct.new_cells += u32::from(new_cell);
        note_reuse(conduct, o, known_key, who);
        if let Some((RecordNumber { block, place }, n_near)) = record {
            conduct.note_record(mix(block, Id(u64::from(place))), n_near);
        }
        surprises.lend(&mut self.normal, o.actor);
        self.refund(&surprises.refunds);
    }

    /// Takes back the points of loans that are called back.
    fn refund(&mut self, refunds: &[Refund]) {
        for loan in refunds {
            if let Some(lender) = self.actors.get_mut(&loan.actor) {
                lender.conduct.refund(loan.sum, loan.centibits);
                lender.touch(loan.actor, &mut self.touched, &mut self.changed);
            }
        }
    }

    /// Closes an epoch at event time `now`; gives the actors that became, stayed and did something as, or ceased to be
    /// suspects. [`Record::current_suspects`] has their points and facts.
    ///
    /// Who sent something since the last call is weighed anew; once a minute also everybody in whose neighbourhoods
    /// something changed. Costs some microseconds an actor that is weighed.
    pub fn close_epoch(&mut self, model: &HostilityModel, now: Millis) -> BTreeSet<Actor> {
        self.make_room();
        if self.model.as_ref() != Some(model) {
            self.model = Some(model.clone());
            self.actors.values_mut().for_each(|dossier| (dossier.spoke_at, dossier.weighed_at) = (0, 0));
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        for actor in &touched {
            self.join(*actor);
        }
        for actor in &touched {
            self.speak(model, *actor);
        }
        if now.since(self.swept) >= SWEEP_MILLIS {
            self.swept = now;
            self.sweep(model);
        }
        for actor in &touched {
            self.decide(model, *actor);
        }
        self.distrust();
        self.reweighed.extend(touched.iter().filter(|actor| self.suspects.contains_key(actor)));
        std::mem::take(&mut self.reweighed)
    }

    /// Witnesses that are suspect do not count, and nobody else.
    fn distrust(&mut self) {
        let witnesses = self.suspects.keys().filter_map(|actor| Some(self.actors.get(actor)?.witness));
        self.trust.distrust(witnesses);
    }

    /// Everybody with news speaks, then everybody with news is weighed. Who has none would say the same again.
    fn sweep(&mut self, model: &HostilityModel) {
        let all: Vec<Actor> = self.actors.keys().copied().collect();
        let has_news = |record: &Self, actor: &Actor, heard_at: fn(&Dossier) -> u64| {
            let dossier = record.actors.get(actor);
            dossier.is_some_and(|dossier| match heard_at(dossier) {
                0 => true,
                heard_at => dossier.places().any(|(place, _, _)| record.neighbours.changed_at(place) > heard_at),
            })
        };
        for actor in &all {
            if has_news(self, actor, |dossier| dossier.spoke_at) {
                self.speak(model, *actor);
            }
        }
        for actor in all {
            if has_news(self, &actor, |dossier| dossier.weighed_at) {
                self.decide(model, actor);
            }
        }
    }

    /// The suspects as of the last epoch.
    pub fn current_suspects(&self) -> &BTreeMap<Actor, Weighed> {
        &self.suspects
    }

    /// All events of an actor together.
    pub fn summary(&self, actor: &Actor) -> Option<&Cell> {
        self.actors.get(actor).map(|dossier| &*dossier.summary)
    }

    /// The cells that an actor touched.
    pub fn ledger(&self, actor: &Actor) -> impl Iterator<Item = (&CellKey, &Touch)> {
        self.actors.get(actor).into_iter().flat_map(|dossier| dossier.conduct.ledger.iter())
    }

    /// The token that an actor uses, where the service accepted it: the same id for all who use it.
    pub fn token(&self, actor: &Actor) -> Option<Id> {
        self.actors.get(actor).and_then(|dossier| dossier.conduct.token)
    }

    /// Whether an actor, weighed so, may be a suspect: one content, once or a thousand times, is an accident unless the
    /// company speaks too.
    pub fn has_habit(&self, actor: &Actor, weighed: &Weighed) -> bool {
        let company: i32 = weighed.neighbours.iter().sum();
        let fresh = self.actors.get(actor).map_or(0, |dossier| dossier.conduct.fresh);
        fresh >= HABIT_CONTENTS || company >= COMPANY_CENTIPOINTS
    }

    /// How an actor stands at this moment, suspect or not.
    pub fn weigh(&self, model: &HostilityModel, actor: &Actor) -> Option<Weighed> {
        let dossier = self.actors.get(actor)?;
        let near = self.near(actor, dossier);
        Some(model.weigh(Facts::of(&dossier.conduct, &near), Some(&near)))
    }

    /// What is known around an actor.
    fn near(&self, actor: &Actor, dossier: &Dossier) -> Near {
        let parties = dossier.conduct.token.and_then(|token| self.parties.get(&token)).into_iter().flatten();
        let others =
            parties.take(PARTIES_MAX).filter(|party| *party != actor).filter_map(|party| self.actors.get(party));
        let others: Vec<&Dossier> = others.collect();
        let conducts: Vec<&Conduct> = others.iter().map(|other| &other.conduct).collect();
        let token = dossier.conduct.token.map(|_| TokenCompany::of(&dossier.conduct, &conducts)).unwrap_or_default();
        let parties = others.into_iter().map(|other| (&other.joined, other.word)).collect();
        let strangers = Strangers { neighbours: &self.neighbours, own: dossier.word, parties };
        let services = dossier.conduct.ledger.keys().map(|cell| cell.service);
        Near { token, ordinary: self.ordinary.of(*actor, services), ..Near::of(&dossier.conduct, &strangers) }
    }

    /// The actors that are remembered.
    pub fn actors(&self) -> impl Iterator<Item = (&Actor, &Conduct)> {
        self.actors.iter().map(|(actor, dossier)| (actor, &dossier.conduct))
    }

    /// Joins the neighbourhoods that an actor is new in, and tells the time.
    fn join(&mut self, actor: Actor) {
        let Some(dossier) = self.actors.get_mut(&actor) else { return };
        let mut joined = std::mem::take(&mut dossier.joined);
        for (place, first, last) in dossier.places() {
            if !joined.contains(&place) && self.neighbours.join(place, dossier.word) {
                joined.insert(place);
            }
            self.neighbours.seen(place, first, last);
        }
        dossier.joined = joined;
        if let Some(token) = dossier.conduct.token {
            self.parties.entry(token).or_default().insert(actor);
        }
    }

    /// An actor tells its neighbourhoods what it is like.
    fn speak(&mut self, model: &HostilityModel, actor: Actor) {
        let Some(near) = self.actors.get(&actor).map(|dossier| self.near(&actor, dossier)) else { return };
        let Some(dossier) = self.actors.get_mut(&actor) else { return };
        dossier.spoke_at = self.neighbours.now();
        let own = model.weigh(Facts::of(&dossier.conduct, &near), None);
        let events = dossier.conduct.events.saturating_add(1);
        let now = Word {
            centibits: i32::try_from(dossier.conduct.centibits() / events).unwrap_or(i32::MAX),
            centipoints: model.word(&own),
            centirepeats: dossier.conduct.centirepeats(),
        };
        for place in &dossier.joined {
            self.neighbours.correct(*place, dossier.word, now);
        }
        if dossier.word != now {
            dossier.word = now;
            dossier.change(actor, &mut self.changed);
            // What it hears is less its own word, and that is another now.
            (dossier.spoke_at, dossier.weighed_at) = (0, 0);
        }
    }

    /// Weighs an actor and enters it among the suspects, or takes it out.
    fn decide(&mut self, model: &HostilityModel, actor: Actor) {
        let Some(weighed) = self.weigh(model, &actor) else { return };
        let habit = self.has_habit(&actor, &weighed);
        let Some(dossier) = self.actors.get_mut(&actor) else { return };
        dossier.weighed_at = self.neighbours.now();
        if dossier.waiting {
            dossier.waiting = false;
            dossier.change(actor, &mut self.changed);
        }
        let bar = if dossier.strongest.is_some() { model.clear_at } else { model.suspect_at };
        let now = (weighed.centipoints >= bar && (habit || dossier.strongest.is_some())).then_some(weighed);
        let stronger = match (&now, &dossier.strongest) {
            (Some(now), Some(before)) => now.centipoints > before.centipoints,
            (now, before) => now.is_some() != before.is_some(),
        };
        if !stronger {
            return;
        }
        dossier.strongest.clone_from(&now);
        dossier.change(actor, &mut self.changed);
        self.reweighed.insert(actor);
        match now {
            Some(weighed) => self.suspects.insert(actor, weighed),
            None => self.suspects.remove(&actor),
        };
    }

    /// Forgets the quietest when there are too many: no suspect before a harmless one, the longest silent first, ties
    /// by id. An attacker who floods with harmless actors drives out harmless actors, whose part of the normal stays.
    fn make_room(&mut self) {
        if self.actors.len() <= ACTORS_MAX {
            return;
        }
        let mut order: Vec<(bool, i32, Millis, Actor)> = self
            .actors
            .iter()
            .map(|(actor, dossier)| {
                (dossier.strongest.is_some(), dossier.word.centipoints.max(0) / 100, dossier.conduct.last, *actor)
            })
            .collect();
        order.sort_unstable();
        let gone = order.len().saturating_sub(ACTORS_KEPT);
        for (_, _, _, actor) in order.into_iter().take(gone) {
            if let Some(dossier) = self.actors.remove(&actor) {
                let token = dossier.conduct.token;
                if let Some((token, parties)) = token.and_then(|token| Some((token, self.parties.get_mut(&token)?))) {
                    parties.remove(&actor);
                    if parties.is_empty() {
                        self.parties.remove(&token);
                    }
                }
                for place in dossier.joined {
                    self.neighbours.leave(place, dossier.word);
                }
            }
            if self.suspects.remove(&actor).is_some() {
                self.reweighed.insert(actor);
            }
            self.changed.push(actor);
        }
        let actors = &self.actors;
        self.touched.retain(|actor| actors.contains_key(actor));
    }
}

/// Repeats, genuine retries, keys used again; `known_key` is who first sent its key.
fn note_reuse(conduct: &mut Conduct, o: &Observation<'_>, known_key: Option<First>, who: Sender) {
    let fresh = conduct.note_content(o.content);
    conduct.fresh += u32::from(fresh);
    conduct.retries += u32::from(!fresh && (o.attempt > 1 || o.idempotency.is_some()));
    let reused = known_key.is_some_and(|known| known.content != o.content || known.sender.prefix != who.prefix);
    conduct.reused_keys += u32::from(reused);
}

fn note_places(conduct: &mut Conduct, o: &Observation<'_>, family: Id) {
    let fold = |id: Id| u32::try_from(id.0 >> 32).unwrap_or(0);
    conduct.routes.add(fold(o.cell.route));
    conduct.sites.add(fold(mix(o.cell.site, o.cell.route)));
    conduct.families.add(mix(family, o.cell.route));
    if let Some(asn) = o.source.network.asn {
        conduct.networks.add(asn);
        conduct.asns.add(mix(Id(u64::from(asn)), o.cell.service));
    }
    if conduct.events_ever == 1 {
        conduct.client = o.agent_family.unwrap_or_default();
    }
    if let Some(agent) = o.agent_family {
        conduct.agents.add(fold(agent));
    }
    if let Some(prefix) = o.source.prefix_id {
        conduct.prefixes.add(fold(prefix));
        conduct.addresses.add(prefix);
    }
    if let Some((id, valid)) = o.token.as_ref().and_then(|token| Some((token.id?, token.valid))) {
        conduct.tokens.add(fold(id));
        if valid == Some(true) {
            conduct.token = Some(token_place(id));
        }
        if valid == Some(false) {
            conduct.refused += 1;
            conduct.refused_tokens.add(fold(id));
        }
    }
}

/// The numbered record that an event asks for, at its route. Whoever shows an accepted token is not asked: nightly exports
/// and support go along the numbers of their own, and what they may see is for the service to say.
fn record(o: &Observation<'_>) -> Option<RecordNumber> {
    let has_account = o.token.as_ref().is_some_and(|token| token.valid == Some(true));
    let RecordNumber { block, place } = o.traits.record.filter(|_| !has_account)?;
    Some(RecordNumber { block: mix(route_place(o), block), place })
}

/// Client family, content type and whether there is a token, as one id.
fn family(o: &Observation<'_>) -> Id {
    let token = Id(u64::from(o.token.is_some()));
    mix(mix(o.agent_family.unwrap_or_default(), o.media_type.unwrap_or_default()), token)
}

/// The witness that an event is from: its token where the service accepted it, else its prefix. Whoever uses one token
/// from many networks is one witness all the same.
fn sender(o: &Observation<'_>) -> Sender {
    witness(o.token.as_ref(), o.source.prefix_id)
}

/// The witness of a token and a source prefix.
fn witness(token: Option<&TokenUse>, prefix: Option<Id>) -> Sender {
    let token = token.filter(|token| token.valid == Some(true)).and_then(|token| token.id);
    let (salt, id) = match (token, prefix) {
        (Some(token), _) => (1, token),
        (None, Some(prefix)) => (2, prefix),
        (None, None) => (3, Id(0)),
    };
    let actor = u32::try_from(mix(Id(salt), id).0 >> 32).unwrap_or(0);
    let prefix = prefix.map_or_else(|| u64::from(actor) << 32, |id| id.0);
    Sender { actor, prefix: u16::try_from(prefix >> 48).unwrap_or(0) }
}

#[cfg(test)]
mod tests;
