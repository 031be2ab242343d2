//! A tenant's memory as rows, and back.
//!
//! Every row's key begins with the tenant's id, but for a few kinds that are of all tenants; values are in postcard's
//! binary form, whose layout is tied to the store's schema version (a change of any stored type raises it). A row that
//! cannot be read is counted and left out: a store is checked when it is opened, so this is a fault of ours, and a cell
//! less is better than no service.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::causes::Causes;
use super::cell::Cell;
use super::cells::Cells;
use super::cluster::ClusteringModel;
use super::cluster::identity::{Alias, Assignments, Cluster, ClusterId};
use super::digest::Digest;
use super::event::{Id, Millis};
use super::judge::{self, Record};
use super::observation::{Actor, CellKey};
use super::operations::Operations;
use super::recent::Recent;
use super::reorder::{self, Reorder};
use super::rulings::{Descent, Descents};
use super::state::{Clock, State, StateRow};
use super::surfaces::Surfaces;
use super::tenant::{Standing, Tenant};

/// Kinds of rows, without the judge's ([`judge::stored::KINDS`]).
const KINDS: [&str; 24] = [
    "clock",
    "recent",
    reorder::WAITING,
    reorder::PASSED,
    "name",
    "cell",
    "suspect",
    "cluster",
    "alias",
    "standing",
    "digest",
    "descent",
    "surface",
    "surface_level",
    "isolate",
    "consequence",
    "poisoned",
    "ledger",
    "ledger_reach",
    "chain",
    "alarm",
    "retry_policy",
    "storm",
    "budget",
];

/// Kinds whose rows are of all tenants together; all others' keys begin with a tenant's id.
const OF_ALL: [&str; 4] = ["clock", "recent", reorder::WAITING, reorder::PASSED];

/// Rows of one kind as a store gives them: key and value.
type Stored = Vec<(Vec<u8>, Vec<u8>)>;

impl State {
    /// Rebuilds the memory. `load` gives the stored rows of a kind. Also gives the number of rows that could not be
    /// read; 0 unless something is wrong.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn restore<E>(
        clustering: &ClusteringModel,
        load: impl Fn(&str) -> Result<Stored, E>,
    ) -> Result<(Self, usize), E> {
        Self::restore_kinds(clustering, &[KINDS.as_slice(), &judge::stored::KINDS].concat(), load)
    }

    /// The same from some kinds of rows alone, for a report that asks for no more: cells are most of a store, and most of
    /// what reading it costs. What the other kinds hold is then as if it had never been.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn restore_kinds<E>(
        clustering: &ClusteringModel,
        kinds: &[&'static str],
        load: impl Fn(&str) -> Result<Stored, E>,
    ) -> Result<(Self, usize), E> {
        let load = |kind| if kinds.contains(&kind) { load(kind) } else { Ok(Stored::new()) };
        let mut state = Self::new(clustering);
        let mut n_unreadable = 0;
        state.recent = Recent::restore(load("recent")?.into_iter().map(|(_, value)| value));
        if let Some((_, clock)) = load("clock")?.first() {
            match postcard::from_bytes::<Clock>(clock) {
                Ok(clock) => (state.clock, state.clock_stored) = (clock, clock),
                Err(_) => n_unreadable += 1,
            }
        }
        let passed = load(reorder::PASSED)?;
        let (reorder, n) = Reorder::restore(load(reorder::WAITING)?, passed.first().map(|(_, rank)| rank.as_slice()));
        state.reorder = reorder;
        n_unreadable += n;
        let mut by_tenant: BTreeMap<Id, BTreeMap<&'static str, Stored>> = BTreeMap::new();
        for kind in kinds.iter().copied().filter(|kind| !OF_ALL.contains(kind)) {
            for (key, value) in load(kind)? {
                if let Some((tenant, key)) = key.split_first_chunk::<8>() {
                    let kinds = by_tenant.entry(Id(u64::from_be_bytes(*tenant))).or_default();
                    kinds.entry(kind).or_default().push((key.to_vec(), value));
                }
            }
        }
        for (id, kinds) in by_tenant {
            let (tenant, n) = Tenant::restore(clustering, &kinds);
            n_unreadable += n;
            state.tenants.insert(id, tenant);
        }
        Ok((state, n_unreadable))
    }
}

impl Tenant {
    /// The rows that changed since the last call, for the tenant `id`.
    pub(super) fn take_rows(&mut self, id: Id) -> Vec<StateRow> {
        let prefix = id.0.to_be_bytes();
        let mut rows = self.names.take_rows(&prefix);
        let mut own: Vec<Option<StateRow>> = Vec::new();
        for (key, cell) in self.cells.take_dirty() {
            own.push(StateRow::of("cell", &key, cell));
        }
        for actor in std::mem::take(&mut self.changed_suspects) {
            own.push(StateRow::of("suspect", &actor, self.suspect_since.get(&actor)));
        }
        for cluster in std::mem::take(&mut self.restated) {
            own.push(StateRow::of("cluster", &cluster, self.clusters.get(cluster).filter(|c| c.id == cluster)));
            own.push(StateRow::of("alias", &cluster, self.clusters.alias(cluster).as_ref()));
            own.push(StateRow::of("standing", &cluster, self.standings.get(&cluster)));
            own.push(StateRow::of("descent", &cluster, self.descents.get(cluster)));
        }
        if self.digest != self.digest_stored {
            own.push(StateRow::of("digest", &(), Some(&self.digest)));
            self.digest_stored = self.digest.clone();
        }
        let foreign = self.record.take_dirty().into_iter();
        let foreign = foreign.chain(self.surfaces.take_rows()).chain(self.causes.take_rows());
        let foreign = foreign.chain(self.operations.take_rows()).map(Some);
        rows.extend(own.into_iter().chain(foreign).flatten().map(|row| {
            let key = [&prefix[..], &row.key].concat();
            StateRow { key, ..row }
        }));
        rows
    }

    fn restore(clustering: &ClusteringModel, kinds: &BTreeMap<&'static str, Stored>) -> (Self, usize) {
        let mut reader = Reader { kinds, n_unreadable: 0 };
        let limits = clustering.cell_limits();
        let mut tenant = Self::new(limits);
        for (key, text) in reader.rows("name") {
            if let Some(id) = key.first_chunk::<8>() {
                tenant.names.restore(Id(u64::from_be_bytes(*id)), text);
            }
        }
        tenant.cells = Cells::restore(limits, reader.read::<CellKey, Cell>("cell"));
        tenant.suspect_since = reader.read::<Actor, Millis>("suspect").into_iter().collect();
        let clusters = reader.read::<ClusterId, Cluster>("cluster").into_iter().map(|(_, cluster)| cluster);
        tenant.clusters = Assignments::restore(clusters, reader.read::<ClusterId, Alias>("alias"));
        tenant.descents = Descents::restore(reader.read::<ClusterId, Descent>("descent"));
        tenant.standings = reader.read::<ClusterId, Standing>("standing").into_iter().collect();
        tenant.digest =
            reader.read::<(), Digest>("digest").into_iter().map(|((), digest)| digest).next().unwrap_or_default();
        tenant.digest_stored = tenant.digest.clone();
        let judged = judge::stored::KINDS.into_iter();
        let judged = judged.flat_map(|kind| reader.rows(kind).map(move |(key, value)| (kind, key, value)));
        let (record, n) = Record::restore(judged);
        tenant.record = record;
        let level = reader.read::<(), u8>("surface_level").first().map_or(0, |((), level)| *level);
        tenant.surfaces = Surfaces::restore(reader.read("surface"), level);
        tenant.causes = Causes::restore(reader.read("isolate"), reader.read("consequence"), reader.read("poisoned"));
        tenant.operations = Operations::restore(&mut reader);
        tenant.rebuild();
        (tenant, reader.n_unreadable + n)
    }
}

/// Rows of one tenant, as its parts read them.
pub(super) struct Reader<'s> {
    kinds: &'s BTreeMap<&'static str, Stored>,
    n_unreadable: usize,
}

impl<'s> Reader<'s> {
    fn rows(&self, kind: &str) -> impl Iterator<Item = (&'s [u8], &'s [u8])> + use<'s> {
        let stored = self.kinds.get(kind).map_or(&[][..], Vec::as_slice);
        stored.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The rows of a kind that can be read.
    pub(super) fn read<K: DeserializeOwned, V: DeserializeOwned>(&mut self, kind: &str) -> Vec<(K, V)> {
        let mut read = Vec::new();
        for (key, value) in self.rows(kind) {
            match (postcard::from_bytes(key), postcard::from_bytes(value)) {
                (Ok(key), Ok(value)) => read.push((key, value)),
                _ => self.n_unreadable += 1,
            }
        }
        read
    }
}
