//! `report retry-policy`: may requests be sent again, by route and panic class, and what did those that were?
//!
//! Reads the policy table of a store ([`Policies`](crate::pipeline::operations::policy)); gives it as a table, as JSON or
//! CSV, as a TOML file that a client library can read, or as routes of an Envoy proxy. The word is the strictest that the
//! evidence demands, since the store began; a row about which nothing is known is not there. Costs some ten milliseconds.

mod envoy;
mod file;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::sheet::{Cell, Sheet, printable};
use super::{Format, Page, restore_operations};
use crate::edge::store::Store;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::gate::{Gate, GateReason};
use crate::pipeline::operations::ledger::RouteKey;
use crate::pipeline::operations::policy::{Policy, PolicyKey, Word};
use crate::pipeline::state::State;
use crate::pipeline::tenant::Tenant;

/// Forms of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table, JSON or CSV.
    Told(Format),
    /// A file for clients.
    Toml,
    /// Routes for Envoy, as JSON (which is YAML, too).
    Envoy,
}

/// A row with its names.
struct Row {
    tenant: String,
    service: String,
    /// `None`: the rest of the service.
    route: Option<String>,
    /// The route is the producer's own name for it, and no masked path.
    is_named: bool,
    /// `None` in a rest.
    class: Option<String>,
    policy: Policy,
    word: Word,
}

/// Tells the policy of the store at `store`, of one service or of all.
///
/// # Errors
/// A store that is not there or cannot be read, one without events, and a service that it does not know.
pub fn answer(store: &Path, service: Option<&str>, form: Form, out: &mut dyn Write) -> Result<()> {
    let state = restore_operations(&Store::open_read_only(store)?)?;
    let rows = rows(&state, service)?;
    match form {
        Form::Told(Format::Table) => for_people(&rows, &mut Page { format: Format::Table, out }),
        Form::Told(Format::Json) => Page { format: Format::Json, out }.object(&document(&rows)),
        Form::Told(Format::Csv) => Page { format: Format::Csv, out }.sheet(&sheet(&rows)),
        Form::Toml => Ok(out.write_all(file::render(&rows)?.as_bytes())?),
        Form::Envoy => Ok(writeln!(out, "{:#}", envoy::routes(&rows))?),
    }
}

/// The rows in the order of tenant, service, route and class; the rests come last.
fn rows(state: &State, service: Option<&str>) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = state.tenants().flat_map(|(id, tenant)| of_tenant(&tenant.name(id), tenant)).collect();
    if rows.is_empty() {
        bail!("the store has no events to report on yet");
    }
    if let Some(wanted) = service {
        let known: std::collections::BTreeSet<String> = rows.iter().map(|row| row.service.clone()).collect();
        rows.retain(|row| row.service == wanted);
        if rows.is_empty() {
            let known: Vec<String> = known.into_iter().map(|name| printable(&name)).collect();
            bail!("there is no service of this name; known here: {}", known.join(", "));
        }
    }
    rows.sort_by(|a, b| {
        let key = |row: &Row| (row.tenant.clone(), row.service.clone(), row.route.is_none());
        key(a).cmp(&key(b)).then_with(|| (&a.route, &a.class).cmp(&(&b.route, &b.class)))
    });
    Ok(rows)
}

fn of_tenant(name: &str, tenant: &Tenant) -> Vec<Row> {
    let row = |(key, policy): (&PolicyKey, &Policy)| {
        Some(Row {
            tenant: name.to_owned(),
            service: key.service.map_or_else(|| "others".to_owned(), |id| tenant.name(id)),
            route: key.route.id().map(|id| tenant.name(id)),
            is_named: matches!(key.route, RouteKey::Named(_)),
            class: key.class.map(|id| tenant.name(id)),
            word: policy.word()?,
            policy: policy.clone(),
        })
    };
    tenant.operations().policies().rows().filter_map(row).collect()
}

impl Row {
    /// Why the word is what it is, with its numbers.
    fn why(&self) -> String {
        let Word { reason, events, .. } = self.word;
        let all = self.policy.events();
        let keyed = self.policy.keyed();
        let without = self.policy.strictest(false).filter(|without| without.gate > self.word.gate);
        let only = without.map_or_else(String::new, |without| {
            format!("; {} of {} events had no key: {} without it", all - keyed, all, without.gate.name())
        });
        let declared = if self.policy.declared > 0 && reason == GateReason::Repeatable {
            "; the route is declared idempotent"
        } else {
            ""
        };
        format!("{}: {events} of {all} events{only}{declared}", reason.words())
    }

    fn strictest(&self, keyed: bool) -> Option<&'static str> {
        self.policy.strictest(keyed).map(|word| word.gate.name())
    }

    fn seen(&self) -> (Option<String>, Option<String>) {
        let at = |at: Millis| at.to_string();
        (self.policy.seen.map(|(first, _)| at(first)), self.policy.seen.map(|(_, last)| at(last)))
    }
}

fn document(rows: &[Row]) -> Value {
    let policies: Vec<Value> = rows.iter().map(object).collect();
    json!({"policies": policies})
}

fn object(row: &Row) -> Value {
    let policy = &row.policy;
    let (first, last) = row.seen();
    let shown = |text: &Option<String>| text.as_deref().map(printable);
    let words: serde_json::Map<String, Value> =
        Gate::ALL.iter().map(|gate| (gate.name().to_owned(), policy.said(*gate).into())).collect();
    let mut reasons = serde_json::Map::new();
    for reason in GateReason::ALL {
        let n: u64 = policy.reasons().filter(|(_, other, _)| *other == reason).map(|(.., n)| n).sum();
        reasons.insert(reason.name().to_owned(), n.into());
    }
    json!({
        "tenant": printable(&row.tenant),
        "service": printable(&row.service),
        "route": shown(&row.route),
        "class": shown(&row.class),
        "retry": row.word.gate.name(),
        "reason": row.word.reason.name(),
        "why": row.why(),
        "with_key": row.strictest(true),
        "without_key": row.strictest(false),
        "events": policy.events(),
        "events_with_key": policy.keyed(),
        "events_declared_idempotent": policy.declared,
        "events_with_side_effects": policy.with_side_effects,
        "words": words,
        "reasons": reasons,
        "retries": policy.retries,
        "retry_succeeded": policy.retry_succeeded,
        "retry_failed": policy.retry_failed,
        "not_retried": policy.not_retried,
        "retried_unsafe": policy.retried_unsafe,
        "retried_hopeless": policy.retried_hopeless,
        "repeated_side_effects": policy.repeated_side_effects,
        "first_event": first,
        "last_event": last,
    })
}

fn sheet(rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(&[
        "service",
        "route",
        "class",
        "retry",
        "events",
        "keyed",
        "retries",
        "succeeded",
        "unsafe",
        "repeated",
        "hopeless",
        "why",
    ]);
    for row in rows {
        let policy = &row.policy;
        sheet.push(vec![
            row.service.as_str().into(),
            row.route.as_deref().unwrap_or("all others").into(),
            row.class.as_deref().unwrap_or("any").into(),
            row.word.gate.name().into(),
            policy.events().into(),
            policy.keyed().into(),
            policy.retries.into(),
            policy.retry_succeeded.into(),
            policy.retried_unsafe.into(),
            policy.repeated_side_effects.into(),
            policy.retried_hopeless.into(),
            Cell::from(row.why()),
        ]);
    }
    sheet
}

/// What fits a screen: the counts, and what retries did before the reason.
fn brief(rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(&["route", "class", "retry", "events", "keyed", "retries", "why"]);
    for row in rows {
        let policy = &row.policy;
        let harm = [
            (policy.retried_unsafe, "unsafe"),
            (policy.repeated_side_effects, "repeated what had been changed"),
            (policy.retried_hopeless, "could not succeed"),
        ];
        let harm: Vec<String> =
            harm.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} retries {what}; ")).collect();
        sheet.push(vec![
            row.route.as_deref().unwrap_or("all others").into(),
            row.class.as_deref().unwrap_or("any").into(),
            row.word.gate.name().into(),
            policy.events().into(),
            policy.keyed().into(),
            policy.retries.into(),
            Cell::from(format!("{}{}", harm.concat(), row.why())),
        ]);
    }
    sheet
}

fn for_people(rows: &[Row], page: &mut Page<'_>) -> Result<()> {
    for service in rows.chunk_by(|a, b| (&a.tenant, &a.service) == (&b.tenant, &b.service)) {
        if let Some(first) = service.first() {
            page.line(&printable(&first.service))?;
        }
        page.sheet(&brief(service))?;
        page.line("")?;
    }
    let sum = |of: fn(&Policy) -> u64| rows.iter().map(|row| of(&row.policy)).sum::<u64>();
    page.words(&format!(
        "{} retries of {} events: {} although they must not be sent again, {} that changed again what had been changed, {} \
         that never could succeed; of {} events it is told that a later attempt succeeded",
        sum(|policy| policy.retries),
        sum(Policy::events),
        sum(|policy| policy.retried_unsafe),
        sum(|policy| policy.repeated_side_effects),
        sum(|policy| policy.retried_hopeless),
        sum(|policy| policy.retry_succeeded),
    ))
}
