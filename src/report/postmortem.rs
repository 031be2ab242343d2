//! `postmortem`: what happened in a stretch of time, as one page that can be pasted into a ticket.
//!
//! Reads the ledger (what became of panics, in whole pages), the cells' times, clusters with their standings, and the
//! outbox; never writes to the store. A short summary comes first, details after. No clock is read and everything is in
//! a fixed order, so the same store and question give the same bytes. One [`Document`] is made and rendered, so that
//! Markdown, HTML and JSON say the same. What cannot be told is said.
//!
//! Without a baseline the stretch of the same length before the period is taken, as far as the store reaches. Costs some
//! ten milliseconds: cells are read only up to their times.

mod clusters;
mod figures;
mod summary;
mod timeline;
mod told;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::clusters::Stretches;
use super::document::{Document, Form, clock, duration};
use super::lives::{self, ALERTS_MAX};
use super::period::Period;
use super::restore_operations;
use super::scope::{Scope, events};
use super::sheet::printable;
use crate::edge::store::{Sent, Store};
use crate::pipeline::event::Millis;
use crate::pipeline::operations::ledger::Span;
use crate::pipeline::sightings::Sightings;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The stretch that is looked back on.
    pub period: Period,
    /// What it is compared with.
    pub baseline: Option<Period>,
    /// Only this service.
    pub service: Option<String>,
}

/// Answers from the store at `store`, to `file` if one is named, else to `out`.
///
/// # Errors
/// A store that is not there or cannot be read, a service that is not known, a period the wrong way round or without
/// anything known of it, a baseline that overlaps it or has no events, and a file that cannot be written.
pub fn answer(
    store: &Path,
    question: &Question,
    form: Form,
    file: Option<&PathBuf>,
    out: &mut dyn Write,
) -> Result<()> {
    let text = document(&Store::open_read_only(store)?, question)?.render(form);
    match file {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
        None => Ok(out.write_all(text.as_bytes())?),
    }
}

/// The page.
///
/// # Errors
/// As [`answer`].
pub fn document(store: &Store, question: &Question) -> Result<Document> {
    let state = restore_operations(store)?;
    let service = question.service.as_deref();
    let scope = Scope::of(&state, service)?;
    let span = scope.resolve(question.period)?;
    let before = baseline(&scope, span, question.baseline)?;
    let stretches =
        Stretches { now: (span, scope.exposure(span)), before: before.map(|before| (before, scope.exposure(before))) };

    let (sightings, n_unreadable) =
        Sightings::read(|kind| store.load_state(kind), |kind, key| store.load_row(kind, key))?;
    if n_unreadable > 0 {
        tracing::warn!(rows = n_unreadable, "rows of the store could not be read and are left out");
    }
    let (seen, n_forgotten) = clusters::seen(&scope, &sightings, &stretches);
    let living: BTreeSet<String> = scope
        .parts()
        .iter()
        .flat_map(|part| part.tenant.clusters().map(move |(cluster, _)| (part, cluster)))
        .filter(|(part, cluster)| {
            sightings.shares(&cluster.members).iter().any(|share| part.has(Some(share.cell.service)))
        })
        .map(|(_, cluster)| cluster.id.to_string())
        .collect();
    let (sent, is_cut) = sent(store, span, service, &living)?;
    let last_of = |name: &str| seen.iter().find(|seen| seen.id == name).and_then(|seen| seen.ever.last);
    let begun = lives::begun(store, &sent, last_of)?;
    let releases = figures::releases(&scope, span, before);
    let total = scope.total(span);
    let recovery_ms = total.recovery_latency.quantile_ms(500).map(|ms| (ms, total.recovery_latency.total()));

    let facts = timeline::Facts {
        stretches: &stretches,
        seen: &seen,
        releases: &releases,
        sent: &sent,
        n_events: events(&total),
    };
    let bursts = timeline::bursts(&scope, &stretches);
    let summary = summary::Facts { timeline: &facts, begun: &begun, bursts: &bursts, total: &total };
    let mut alerts = told::alerts(&sent, |name| living.contains(name));
    if is_cut {
        alerts.say(format!("The period has more than {ALERTS_MAX} alerts; only the newest were looked at."));
    }
    let sections = vec![
        summary::section(&scope, &summary),
        timeline::section(&scope, &facts),
        clusters::section(&seen, n_forgotten, &stretches),
        summary::hostile(&seen, &total),
        figures::recovery(&scope, span, &total),
        figures::retries(&scope, span),
        figures::release_section(&releases),
        told::times(&begun, recovery_ms),
        alerts,
        summary::basis(&scope, &stretches, question),
    ];
    let about = service.map_or_else(String::new, |service| format!(" of {}", printable(service)));
    let length = duration(span.millis());
    let title = format!("Post-mortem{about}: {} to {} UTC ({length})", minute(span.from), minute(span.to));
    Ok(Document { schema: "postmortem.v1", title, sections })
}

/// The baseline's pages: as asked, or the stretch of the same length before the period as far as the store knows it.
fn baseline(scope: &Scope<'_>, span: Span, asked: Option<Period>) -> Result<Option<Span>> {
    let (first, _) = scope.extent();
    let Some(asked) = asked else {
        let from = span.from.plus(-span.millis()).max(first);
        let before = (from < span.from).then(|| scope.span(from, span.from)).filter(|before| before.to <= span.from);
        return Ok(before.filter(|before| events(&scope.total(*before)) > 0));
    };
    let before = scope.resolve(asked).context("the baseline")?;
    if before.from < span.to && span.from < before.to {
        bail!(
            "the baseline, {} to {} in whole pages of {}, overlaps the period, {} to {} in pages of {}",
            before.from,
            before.to,
            before.tier.words(),
            span.from,
            span.to,
            span.tier.words()
        );
    }
    if events(&scope.total(before)) == 0 {
        bail!("the baseline, {} to {}, has no events: there is nothing to compare with", before.from, before.to);
    }
    Ok(Some(before))
}

/// The alerts of a span that are about what is asked for, and whether there were more than are looked at.
fn sent(store: &Store, span: Span, service: Option<&str>, living: &BTreeSet<String>) -> Result<(Vec<Sent>, bool)> {
    let (from, to) = (span.from.to_string(), span.to.to_string());
    let mut sent = store.alerts_between(&from, &to, ALERTS_MAX + 1)?;
    let is_cut = sent.len() > ALERTS_MAX;
    sent.drain(..sent.len().saturating_sub(ALERTS_MAX));
    let Some(service) = service else { return Ok((sent, is_cut)) };
    let mut about = living.clone();
    for Sent { alert, .. } in &sent {
        // One that closes a cluster that is no more names no service; those before it do.
        let names_none = alert.portrait.services.is_empty() && !about.contains(&alert.cluster);
        let names_it = if names_none {
            store.alerts_of(&alert.cluster)?.iter().any(|alert| lives::is_about(alert, service))
        } else {
            lives::is_about(alert, service)
        };
        if names_it {
            about.insert(alert.cluster.clone());
        }
    }
    sent.retain(|sent| about.contains(&sent.alert.cluster));
    Ok((sent, is_cut))
}

/// A time without its seconds where they are none.
fn minute(at: Millis) -> String {
    let text = clock(at);
    text.strip_suffix(":00").map_or(text.clone(), str::to_owned)
}
