//! One tenant's memory, and what closing an epoch makes of it.
//!
//! [`Tenant::observe`] counts an event in its cell, with its sender, and learns the names to show. [`Tenant::close`]
//! turns what changed since the last epoch into rows, rows and suspects into clusters, clusters into judgements, and
//! judgements into alerts. Only what changed is worked through; the result is the same as from working through everything.
//!
//! What analysts said is applied here, at the verdict ([`rulings`](super::rulings)), and nowhere else.
//!
//! Holds the second panic fence: a fault in clustering falls back to exact keys for the rows at hand, and is counted.
//! Bounds: those of cells, actors and names; everything else here is keyed by them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Change, Overruled, Portrait, Severity, Verdict};
use super::causes::Causes;
use super::cell::{Cell, text_id};
use super::cells::{CellLimits, Cells};
use super::cluster::hands::Tie;
use super::cluster::identity::{Assignments, Cluster, ClusterId, Member, group};
use super::cluster::{ClusteringModel, Row, RowKey, components, exact_components};
use super::digest::Digest;
use super::event::{Id, Millis};
use super::judge::{ClusterView, Judgement, Record, Weighed, judge_cluster};
use super::keys::IdSet;
use super::life::{Life, Word};
use super::names::Names;
use super::observation::{Actor, CellKey, Observation, OrdinaryRequest};
use super::operations::Operations;
use super::portrait::asn_name_id;
use super::rows::Rows;
use super::rulings::{Descents, Rulings};
use super::sample::{KeyedSet, count_f64};
use super::shares::Shares;
use super::surfaces::Surfaces;
use super::{Context, Step};

mod asking;
mod digest;
mod forgetting;
mod joining;
mod telling;
mod words;

/// How a cluster stands: the judge's last word and the alerts told so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The judge's last word.
    pub judgement: Judgement,
    /// The analyst's word that held when it was judged.
    pub overruled: Option<Overruled>,
    /// The points that it needed to be called hostile.
    pub threshold: f64,
    /// Version of the models that judged.
    pub model: String,
    /// How much it mattered when it was judged; `None` where it was neither hostile nor had an open alert.
    pub severity: Option<Severity>,
    /// Alerts told so far.
    pub life: Life,
}

/// Where one event stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// The cluster of its sender, where that is suspect, else of its cell; `None` when what it is of is forgotten.
    pub cluster: Option<ClusterId>,
    /// The last word on it: an analyst's where one holds, else the judge's.
    pub verdict: Verdict,
    /// Event time from which on an alert covered it.
    pub alerted_at: Option<Millis>,
}

/// One tenant.
#[derive(Debug, Default)]
pub struct Tenant {
    pub(super) cells: Cells,
    pub(super) record: Record,
    pub(super) names: Names,
    pub(super) surfaces: Surfaces,
    pub(super) causes: Causes,
    pub(super) operations: Operations,
    pub(super) clusters: Assignments,
    pub(super) standings: BTreeMap<ClusterId, Standing>,
    /// What is told of many clusters at once.
    pub(super) digest: Digest,
    /// The same as it was last put into a row.
    pub(super) digest_stored: Digest,
    /// Where clusters come from, as far as analysts' words go.
    pub(super) descents: Descents,
    /// What analysts said.
    rulings: Arc<Rulings>,
    /// Clusters for which another word holds since that was taken up.
    reruled: BTreeSet<ClusterId>,
    /// Since when each suspect is one without a break.
    pub(super) suspect_since: BTreeMap<Actor, Millis>,
    shares: Shares,
    rows: Rows,
    /// Cells that changed since the last epoch.
    touched: IdSet<CellKey>,
    /// What ties the suspects of a cluster; made anew after a start.
    ties: BTreeMap<ClusterId, BTreeMap<Tie, u32>>,
    /// Suspects changed since the last epoch, in number or in what ties them.
    suspects_changed: bool,
    /// Since when each service is heard of, by the cells that are remembered; made anew after a start.
    heard_since: BTreeMap<Id, Millis>,
    /// What was last said of the clusters that are hostile or have an open alert; a memo, made anew after a start.
    words: BTreeMap<ClusterId, Word>,
    /// Clusters that lost their last row to another one since the last epoch.
    emptied: BTreeSet<ClusterId>,
    /// Clusters whose rows are to be stored.
    pub(super) restated: BTreeSet<ClusterId>,
    /// Suspects whose rows are to be stored.
    pub(super) changed_suspects: BTreeSet<Actor>,
}

impl Tenant {
    /// Nobody and nothing yet.
    pub fn new(limits: CellLimits) -> Self {
        Self { cells: Cells::new(limits), ..Self::default() }
    }

    /// Counts an event and learns its names.
    pub fn observe(&mut self, o: &Observation<'_>) {
        let landed = self.cells.add(o);
        self.touched.insert(landed);
        self.hear_of(landed.service, o.time);
        self.surfaces.observe(o);
        let poisoned = self.causes.observe(o, landed);
        let hostile = self.is_held_for_hostile(&o.cell, o.actor);
        self.operations.observe(o, hostile, poisoned);
        let tenant = o.cell.tenant;
        match &o.expected {
            // An announced test makes nobody a suspect, and teaches the judge no normal.
            Some(reason) => self.names.learn(text_id(tenant, reason), reason),
            None => self.record.observe(o),
        }
        let mut learn = |id: Id, text: &str| self.names.learn(id, text);
        learn(tenant, &o.tenant);
        learn(o.cell.service, &o.service);
        learn(o.cell.site, &o.site);
        learn(o.cell.route, &o.route);
        learn(text_id(tenant, &o.panic.class), &o.panic.class);
        if let Some(release) = &o.release {
            learn(text_id(tenant, release), release);
        }
        if let Some(token) = &o.token {
            learn(text_id(tenant, &token.scopes), &token.scopes);
        }
        for text in [&o.aftermath.boundary, &o.aftermath.region].into_iter().flatten() {
            learn(text_id(tenant, text), text);
        }
        if let Some(family) = o.agent_family {
            learn(family, &o.agent_name);
        }
        if let (Some(asn), Some(organisation)) = (o.source.network.asn, &o.source.network.organisation) {
            learn(asn_name_id(u64::from(asn)), organisation);
        }
    }

    /// Takes in a request that did not panic. Nothing of it is shown, so that it has no names but the tenant's.
    pub fn hear(&mut self, request: &OrdinaryRequest) {
        self.record.observe_ordinary(request);
        self.names.learn(request.tenant, &request.tenant_name);
    }

    /// Closes an epoch at event time `now`.
    pub fn close(&mut self, context: &Context, now: Millis, step: &mut Step) {
        let displaced = self.take_folded();
        let reweighed = self.weigh_suspects(context, displaced, now);
        let touched = self.take_touched();
        let changed = self.refresh_rows(&touched);
        let mut concerned = self.recluster(&context.clustering, &changed, now, step);
        concerned.extend(self.regroup_suspects(&context.clustering, now, step));
        concerned.extend(touched.iter().filter_map(|cell| self.clusters.of(&RowKey::Cell(*cell))));
        concerned.extend(reweighed.iter().filter_map(|actor| self.clusters.of(&self.sender(actor)?)));
        let waiting = self
            .standings
            .iter()
            .filter(|(id, standing)| standing.life.open_since.is_some() && !self.stays(context, **id, standing, now));
        concerned.extend(waiting.map(|(id, _)| *id));
        concerned.extend(std::mem::take(&mut self.reruled));
        concerned.extend(self.bury_emptied());
        for id in concerned {
            self.judge(context, id, now, step);
        }
        self.tell_digest(context, now, step);
        self.operations.close(context, &self.names, now, step);
    }

    /// Tells, when an epoch is closed, which error budgets burn too fast; `id` is the tenant's own.
    pub(super) fn watch_budgets(&mut self, id: Id, context: &Context, now: Millis, step: &mut Step) {
        self.operations.watch_budgets(context, (id, &self.names), now, step);
    }

    /// Sees to the clusters whose last cell was folded into another cluster's; gives them.
    fn bury_emptied(&mut self) -> BTreeSet<ClusterId> {
        let emptied = std::mem::take(&mut self.emptied);
        let before = |id| self.standings.get(&id).map(Standing::verdict);
        self.descents.follow(&self.clusters, &emptied, &self.rulings, before);
        self.restated.extend(&emptied);
        emptied
    }

    fn take_touched(&mut self) -> BTreeSet<CellKey> {
        std::mem::take(&mut self.touched).into_iter().collect()
    }

    /// Looks after cells that were folded since the last epoch: their rows are made anew, their clusters judged anew.
    /// Gives the suspects whose shares are to be found under other keys now.
    fn take_folded(&mut self) -> BTreeSet<Actor> {
        let folded: Vec<CellKey> = self.cells.take_folded().into_iter().collect();
        if !folded.is_empty() {
            self.know_services();
            self.causes.follow(|cell| self.cells.resolve(cell));
        }
        let displaced: BTreeSet<Actor> =
            folded.iter().flat_map(|cell| self.shares.of(cell)).map(|(actor, _)| *actor).collect();
        let cells = folded.iter().filter_map(|cell| self.clusters.of(&RowKey::Cell(*cell)));
        let senders = displaced.iter().filter_map(|actor| self.clusters.of(&self.sender(actor)?));
        for id in cells.chain(senders).collect::<Vec<_>>() {
            self.words.remove(&id);
        }
        self.touched.extend(folded);
        displaced
    }

    /// Events of an actor by the cells that hold them now.
    fn ledger(&self, actor: Actor) -> BTreeMap<CellKey, u64> {
        let mut ledger: BTreeMap<CellKey, u64> = BTreeMap::new();
        for (cell, touch) in self.record.ledger(&actor) {
            let cell = self.cells.resolve(cell);
            if self.cells.get(&cell).is_some() {
                *ledger.entry(cell).or_default() += u64::from(touch.events);
            }
        }
        ledger
    }

    /// Asks the judge whom it suspects, and notes their shares of cells (of `displaced` ones, too); gives the suspects who
    /// were weighed anew.
    fn weigh_suspects(&mut self, context: &Context, displaced: BTreeSet<Actor>, now: Millis) -> BTreeSet<Actor> {
        let mut reweighed = BTreeSet::new();
        let mut weighed = self.record.close_epoch(&context.hostility, now);
        weighed.extend(displaced);
        for actor in weighed {
            let suspect = self.record.current_suspects().contains_key(&actor);
            let ledger = if suspect { self.ledger(actor) } else { BTreeMap::new() };
            if suspect != self.suspect_since.contains_key(&actor) {
                self.changed_suspects.insert(actor);
            }
            if suspect {
                self.suspect_since.entry(actor).or_insert(now);
                reweighed.insert(actor);
            } else {
                self.suspect_since.remove(&actor);
            }
            self.touched.extend(self.shares.set(actor, &ledger));
            self.suspects_changed = true;
        }
        reweighed
    }

    /// Makes the rows of all touched cells anew; gives those around which clusters may have changed.
    fn refresh_rows(&mut self, touched: &BTreeSet<CellKey>) -> BTreeSet<CellKey> {
        let mut changed = BTreeSet::new();
        for key in touched {
            let now_called = self.cells.resolve(key);
            if now_called != *key {
                let emptied = self.clusters.fold(RowKey::Cell(*key), RowKey::Cell(now_called));
                self.emptied.extend(emptied);
            }
            let made = self.cells.get(key).and_then(|cell| self.row(*key, cell));
            // After a start no row is known, not even one that is gone with the first closing.
            let is_gone = made.is_none() && self.clusters.of(&RowKey::Cell(*key)).is_some();
            if self.rows.set(*key, made) || is_gone {
                changed.insert(*key);
            }
        }
        changed
    }

    /// The row of a cell without what suspects sent into it; `None` when nothing is left.
    fn row(&self, key: CellKey, cell: &Cell) -> Option<Row> {
        let events = self.events_of_others(&key, cell);
        (events > 0).then_some(Row { key, sketch: cell.sketch })
    }

    /// Clusters the region around changed rows anew; gives the clusters that were or are in it.
    fn recluster(
        &mut self,
        model: &ClusteringModel,
        changed: &BTreeSet<CellKey>,
        now: Millis,
        step: &mut Step,
    ) -> BTreeSet<ClusterId> {
        if changed.is_empty() {
            return BTreeSet::new();
        }
        let members = |id: &ClusterId| {
            let members = self.clusters.get(*id).map_or(&[][..], |cluster| &cluster.members);
            members.iter().filter_map(RowKey::cell).copied()
        };
        let cluster_of = |cell: &CellKey| self.clusters.of(&RowKey::Cell(*cell));
        let region: Vec<Row> = self.rows.region(changed, cluster_of, members).into_iter().cloned().collect();
        step.n_rows_clustered += region.len() as u64;
        let clustered = catch_unwind(AssertUnwindSafe(|| components(model, &region)));
        let labels = clustered.ok().and_then(Result::ok).unwrap_or_else(|| {
            step.fallbacks += 1;
            exact_components(&region)
        });
        let first = |cell: &CellKey| self.cells.get(cell).map_or(now, |cell| cell.first);
        // Of all rows as of now: which cluster lives on must not depend on when a row was last touched, or made anew after
        // a start.
        let weight = |key: &CellKey| {
            let of = |cell: &Cell| {
                let share = count_f64(self.events_of_others(key, cell)) / count_f64(cell.n.max(1));
                cell.minutes.weight(now, long_half_life(model)) * share
            };
            self.cells.get(key).map_or(0.0, of)
        };
        let placed: Vec<Member> = region
            .iter()
            .map(|row| Member { key: RowKey::Cell(row.key), weight: weight(&row.key), first: first(&row.key) })
            .collect();
        let changed = changed.iter().map(|cell| RowKey::Cell(*cell)).collect();
        self.identify(model, &changed, &group(&labels, &placed), now)
    }

    /// Finds out which clusters these components are; gives the clusters that were or are in them.
    fn identify(
        &mut self,
        model: &ClusteringModel,
        gone: &BTreeSet<RowKey>,
        components: &[Vec<Member>],
        now: Millis,
    ) -> BTreeSet<ClusterId> {
        let concerned = self.clusters.update(model, gone, components, now);
        let before = |id| self.standings.get(&id).map(Standing::verdict);
        self.descents.follow(&self.clusters, &concerned, &self.rulings, before);
        self.restated.extend(&concerned);
        concerned
    }

    /// Whether an open cluster without news stays as it is: judging it again would say the same and tell nothing.
    fn stays(&self, context: &Context, id: ClusterId, standing: &Standing, now: Millis) -> bool {
        let Some(word) = self.words.get(&id) else { return false };
        let mut life = standing.life.clone();
        standing.model == context.version
            && standing.threshold.total_cmp(&threshold(context)).is_eq()
            && life.turn(&context.alerts, *word, now).is_none()
            && life == standing.life
    }

    /// Judges one cluster and tells what changed in its life.
    fn judge(&mut self, context: &Context, id: ClusterId, now: Millis, step: &mut Step) {
        let Some(cluster) = self.clusters.get(id).filter(|cluster| cluster.id == id) else {
            self.end(id, now, step);
            return;
        };
        let judgement = self.judgement(context, cluster);
        let overruled = self.descents.overruled(id, &self.rulings, judgement.verdict);
        let standing = self.standings.remove(&id);
        let overruled_before = standing.as_ref().and_then(|standing| standing.overruled.as_ref());
        let at_once = overruled.is_some() || overruled_before.is_some();
        let holds = overruled.as_ref().map_or(judgement.verdict, |overruled| overruled.word) == Verdict::Hostile;
        let mut life = standing.as_ref().map(|standing| standing.life.clone()).unwrap_or_default();
        let (mut told, mut severity) = (None, None);
        if holds || life.open_since.is_some() {
            let word = self.word(context, cluster, &judgement, holds);
            let ordinal = life.next_ordinal;
            if at_once {
                life.hurry();
            }
            told = self.digest.turn(&context.alerts, &mut life, word, now).map(|change| (change, ordinal));
            severity = Some(word.severity);
            self.words.insert(id, word);
        }
        let (threshold, model) = (threshold(context), context.version.clone());
        let standing_now = Standing { judgement, overruled, threshold, model, severity, life };
        if let Some((change, ordinal)) = told {
            let portrait = self.portrait_for_alert(context, change, cluster, &standing_now);
            step.alerts.push(Alert::of(change, &id.to_string(), ordinal, now, portrait));
        }
        if standing.as_ref() != Some(&standing_now) {
            self.restated.insert(id);
        }
        self.standings.insert(id, standing_now);
    }

    /// A cluster that is no more: its open alert, if it had one, is closed.
    fn end(&mut self, id: ClusterId, now: Millis, step: &mut Step) {
        self.words.remove(&id);
        let Some(mut standing) = self.standings.remove(&id) else { return };
        self.restated.insert(id);
        let heir = self.clusters.get(id).map(|heir| heir.id);
        if let (Some(heir), Some(first)) =
            (heir.and_then(|heir| self.standings.get_mut(&heir)), standing.life.first_opened)
        {
            // What it brings along was covered since its own alert, not since the heir's.
            heir.life.inherit(first);
        }
        if let (Some(heir), Some(_)) = (heir, standing.life.first_opened) {
            self.restated.insert(heir);
        }
        let ordinal = standing.life.next_ordinal;
        let was_in_digest = standing.life.in_digest;
        self.digest.leave(&mut standing.life);
        if !standing.life.absorb(now) || was_in_digest {
            return;
        }
        let heir = heir.map(|heir| heir.to_string());
        let title = heir.as_ref().map_or_else(
            || "its events are forgotten or spread over other clusters".to_owned(),
            |heir| format!("it became part of {heir}"),
        );
        let severity = standing.life.told;
        let portrait = Portrait { title, severity, lineage: heir.into_iter().collect(), ..Portrait::default() };
        step.alerts.push(Alert::of(Change::Closed, &id.to_string(), ordinal, now, portrait));
    }

    fn judgement(&self, context: &Context, cluster: &Cluster) -> Judgement {
        let mut actors: KeyedSet<64> = KeyedSet::default();
        let mut releases: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut events, mut first, mut last) = (0, Millis(i64::MAX), Millis(i64::MIN));
        for (_, cell, n) in self.cells_of(cluster) {
            events += n;
            first = first.min(cell.first);
            last = last.max(cell.last);
            actors.merge(&cell.actors);
            for (release, n) in cell.releases.iter() {
                *releases.entry(release).or_default() += n;
            }
        }
        let mut releases: Vec<u64> = releases.into_values().collect();
        releases.sort_unstable_by(|a, b| b.cmp(a));
        let suspects = cluster.suspects();
        let weighed: Vec<&Weighed> = suspects.iter().filter_map(|a| self.record.current_suspects().get(a)).collect();
        let view =
            ClusterView { events, actors: actors.len_estimate(), first, last, releases: &releases, suspects: &weighed };
        let mut judgement = judge_cluster(&context.hostility, &view);
        judgement.evidence.extend(self.ties_in_words(cluster, &context.clustering));
        judgement.evidence.extend(self.warm_up_in_words(cluster));
        judgement
    }

    /// Whether an event with this cell key and sender is in a cluster that is held for hostile now.
    fn is_held_for_hostile(&self, cell: &CellKey, actor: Actor) -> bool {
        self.whereabouts(cell, actor).verdict == Verdict::Hostile
    }

    /// After a start. Rows are made at the next closing, all of them as changed ones: what had changed in the epoch that
    /// was open is not known any more, and a cell that was new in it would else stay without a cluster.
    pub(super) fn rebuild(&mut self) {
        self.touched = self.cells.iter().map(|(key, _)| *key).collect();
        // The judge weighs at the next epoch; until then a suspect is who was one when the rows were kept.
        let suspects: Vec<Actor> = self.suspect_since.keys().copied().collect();
        for actor in suspects {
            let ledger = self.ledger(actor);
            self.shares.set(actor, &ledger);
        }
        self.suspects_changed = true;
        self.know_services();
    }
}

/// Points that make a cluster hostile.
fn threshold(context: &Context) -> f64 {
    f64::from(context.hostility.hostile_at) / 100.0
}

fn long_half_life(model: &ClusteringModel) -> i64 {
    let [_, long] = model.memory.half_life_minutes;
    i64::from(long) * Millis::MINUTE
}
