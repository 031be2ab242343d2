//! One row of the inventory with its names, and what its answers contradict.
//!
//! Reads the state's inventories and names; gives rows in the order in which they hurt: what escaped or ended a process
//! first, then by events, then by names.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Knowledge, Selection};
use crate::pipeline::classify::{Mismatch, PanicModel, Surface, mismatches};
use crate::pipeline::event::{Id, RecoveryOutcome};
use crate::pipeline::state::State;
use crate::pipeline::surfaces::{ReleaseKey, SurfaceCounts, SurfaceKey};
use crate::pipeline::tenant::Tenant;

/// Which releases a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Releases {
    /// The one that it names.
    One,
    /// Its producer names none.
    Untold,
    /// Those without a row of their own.
    Others,
}

impl Releases {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Untold => "untold",
            Self::Others => "others",
        }
    }
}

/// Answers that contradict what the model says of the class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Contradictions {
    /// 5xx where the class says 4xx.
    pub(super) blames_service: u64,
    /// 4xx where the class says 5xx.
    pub(super) blames_client: u64,
    /// A status that invites to a retry which the class advises against.
    pub(super) retry_invited: u64,
}

impl Contradictions {
    fn of(counts: &SurfaceCounts, class: &str, panics: &PanicModel) -> Self {
        let mut found = Self::default();
        let Some(response) = panics.response(class) else { return found };
        for (status, n) in counts.statuses.iter() {
            for mismatch in mismatches(response, u16::try_from(status).ok()) {
                let count = match mismatch {
                    Mismatch::BlamesService { .. } => &mut found.blames_service,
                    Mismatch::BlamesClient { .. } => &mut found.blames_client,
                    Mismatch::RetryInvited { .. } => &mut found.retry_invited,
                };
                *count = count.saturating_add(n);
            }
        }
        found
    }

    pub(super) fn add(&mut self, other: Self) {
        self.blames_service = self.blames_service.saturating_add(other.blames_service);
        self.blames_client = self.blames_client.saturating_add(other.blames_client);
        self.retry_invited = self.retry_invited.saturating_add(other.retry_invited);
    }

    /// Answers with at least one contradiction, from below: an answer may have two.
    pub(super) fn n_most(self) -> u64 {
        self.blames_service.max(self.blames_client).max(self.retry_invited)
    }
}

/// One row. A count without names is about the sites that have no row of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) tenant: String,
    pub(super) service: Option<String>,
    pub(super) surface: Option<Surface>,
    pub(super) class: Option<String>,
    pub(super) site: Option<String>,
    /// The site's id, equal as long as the deployment's key is.
    pub(super) site_id: Option<String>,
    pub(super) release: Option<String>,
    pub(super) releases: Releases,
    pub(super) first_seen: String,
    pub(super) last_seen: String,
    pub(super) events: u64,
    pub(super) recovered: u64,
    pub(super) degraded: u64,
    pub(super) escaped: u64,
    pub(super) aborted: u64,
    pub(super) suspected_abort: u64,
    pub(super) unknown: u64,
    /// Routes; an estimate from 16 on.
    pub(super) routes: u64,
    /// Events by status, as far as counted one by one.
    pub(super) statuses: BTreeMap<u64, u64>,
    /// Events with a further status.
    pub(super) other_statuses: u64,
    /// Events by the status's first digit.
    pub(super) status_classes: BTreeMap<String, u64>,
    pub(super) contradictions: Contradictions,
    /// What the names were made of, to add rows of one site.
    #[serde(skip)]
    pub(super) counts: SurfaceCounts,
}

impl Row {
    fn of(tenant: &Tenant, tenant_id: Id, key: &SurfaceKey, counts: &SurfaceCounts, panics: &PanicModel) -> Self {
        let name = |id: Id| tenant.name(id);
        let class = key.place.map(|place| name(place.class));
        let (releases, release) = match key.release {
            ReleaseKey::One(id) => (Releases::One, Some(name(id))),
            ReleaseKey::Untold => (Releases::Untold, None),
            ReleaseKey::Others => (Releases::Others, None),
        };
        let classes = (1..).zip(counts.status_classes).filter(|(_, n)| *n > 0);
        Self {
            tenant: name(tenant_id),
            service: key.place.map(|place| name(place.service)),
            surface: key.place.map(|place| place.surface),
            contradictions: class.as_deref().map(|id| Contradictions::of(counts, id, panics)).unwrap_or_default(),
            class,
            site: key.place.map(|place| name(place.site)),
            site_id: key.place.map(|place| place.site.to_string()),
            release,
            releases,
            first_seen: counts.first.to_string(),
            last_seen: counts.last.to_string(),
            events: counts.n,
            recovered: counts.recovered(RecoveryOutcome::Recovered),
            degraded: counts.recovered(RecoveryOutcome::Degraded),
            escaped: counts.recovered(RecoveryOutcome::Escaped),
            aborted: counts.recovered(RecoveryOutcome::Aborted),
            suspected_abort: counts.recovered(RecoveryOutcome::SuspectedAbort),
            unknown: counts.recovered(RecoveryOutcome::Unknown),
            routes: counts.routes.len_estimate(),
            statuses: counts.statuses.iter().collect(),
            other_statuses: counts.statuses.other(),
            status_classes: classes.map(|(class, n): (u8, u64)| (format!("{class}xx"), n)).collect(),
            counts: counts.clone(),
        }
    }

    /// Events by outcome, in the order of the inventory's outcomes.
    pub(super) fn outcomes(&self) -> [u64; 6] {
        [self.recovered, self.degraded, self.escaped, self.aborted, self.suspected_abort, self.unknown]
    }

    /// The release as a person reads it.
    pub(super) fn release_shown(&self) -> String {
        match self.releases {
            Releases::One => self.release.clone().unwrap_or_default(),
            Releases::Untold => "not told".to_owned(),
            Releases::Others => "others".to_owned(),
        }
    }

    fn n_uncontained(&self) -> u64 {
        self.escaped.saturating_add(self.aborted).saturating_add(self.suspected_abort)
    }
}

/// The rows that are selected, what hurts most first.
pub(super) fn rows(state: &State, selection: &Selection, knowledge: &Knowledge) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, tenant) in state.tenants() {
        for (key, counts) in tenant.surfaces().iter() {
            let row = Row::of(tenant, id, key, counts, &knowledge.panics);
            let service = selection.service.is_none() || row.service == selection.service;
            if service && (selection.release.is_none() || row.release == selection.release) {
                rows.push(row);
            }
        }
    }
    rows.sort_by_cached_key(|row| {
        let names = (row.tenant.clone(), row.service.clone(), row.class.clone(), row.site.clone());
        let counts = (Reverse(row.n_uncontained()), Reverse(row.events));
        (counts, names, row.site_id.clone(), row.releases, row.release.clone())
    });
    rows
}
