//! `report releases`: releases beside each other, with intervals, and whether one of them should go.
//!
//! Reads the account of panics of a store; gives, for each release of a period, its panics, the rate of the honest ones,
//! how many were not caught and how many were made good, each with its interval of 95 %, its rate as a multiple of the
//! rate of the release before it, and every rollback criterion with its numbers as it stood when the release was last
//! seen. With request totals a rate is panics a request; without them it is panics an hour of the time in which the
//! release was seen, and the answer says that nothing is known of traffic.
//!
//! Costs some milliseconds a release.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::period::Period;
use super::sheet::{Cell, Sheet, printable};
use super::{Format, Page, restore_operations};
use crate::edge::store::Store;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::interval::{Interval, rate_ratio, share};
use crate::pipeline::operations::ledger::{Ledger, Span, Tier};
use crate::pipeline::operations::releases::{Figures, Line, Sheet as Account, histories};
use crate::pipeline::operations::rollback::{Criterion, Rule, amplification, criteria, number, percent};
use crate::pipeline::sample::count_f64;
use crate::pipeline::surfaces::ReleaseKey;
use crate::pipeline::tenant::Tenant;

/// Releases of a tenant that are told, those with the most panics: a month of daily ones.
const RELEASES_TOLD_MAX: usize = 64;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Only this service.
    pub service: Option<String>,
    /// Which time.
    pub period: Period,
    /// The rollback criteria.
    pub rules: Vec<Rule>,
}

/// One release in a period.
struct Row {
    tenant: String,
    service: String,
    release: String,
    first: Millis,
    last: Millis,
    figures: Figures,
    before: Option<Before>,
    criteria: Vec<(Criterion, String)>,
}

/// The release before it.
struct Before {
    release: String,
    /// Rate as a multiple of its rate.
    ratio: Option<Interval>,
}

/// Tells the releases of the store at `store`.
///
/// # Errors
/// A store that is not there or cannot be read, a period of which nothing is known, and a service that it does not know.
pub fn answer(store: &Path, question: &Question, format: Format, out: &mut dyn Write) -> Result<()> {
    let state = restore_operations(&Store::open_read_only(store)?)?;
    let mut rows = Vec::new();
    let mut span = None;
    for (id, tenant) in state.tenants() {
        // A tenant that has nothing in the period is left out; that none has is an error.
        match question.period.resolve(tenant.operations().ledger()) {
            Ok(mine) => {
                span = span.or(Some(mine));
                rows.extend(of_tenant(&tenant.name(id), tenant, mine, &question.rules));
            }
            Err(error) if state.tenants().count() == 1 => return Err(error),
            Err(_) => {}
        }
    }
    let Some(span) = span else { bail!("the store has no events to report on in this period") };
    if let Some(wanted) = &question.service {
        let known: std::collections::BTreeSet<String> = rows.iter().map(|row| printable(&row.service)).collect();
        rows.retain(|row| row.service == *wanted);
        if rows.is_empty() {
            let known: Vec<String> = known.into_iter().collect();
            bail!("there is no service of this name in the period; known here: {}", known.join(", "));
        }
    }
    rows.sort_by(|a, b| {
        (&a.tenant, &a.service, a.first, &a.release).cmp(&(&b.tenant, &b.service, b.first, &b.release))
    });
    let page = &mut Page { format, out };
    match format {
        Format::Table => for_people(&rows, span, page),
        Format::Json => page.object(&document(&rows, span)),
        Format::Csv => page.sheet(&sheet(&rows)),
    }
}

fn of_tenant(name: &str, tenant: &Tenant, span: Span, rules: &[Rule]) -> Vec<Row> {
    let ledger = tenant.operations().ledger();
    let mut seen: BTreeMap<(Id, ReleaseKey), (Millis, Millis, u64)> = BTreeMap::new();
    for (start, page) in ledger.pages(span) {
        let end = start.plus(span.tier.millis());
        for (account, tally) in page.accounts() {
            if let (Some(service), ReleaseKey::One(_)) = (account.service, account.release) {
                let mine = seen.entry((service, account.release)).or_insert((start, end, 0));
                *mine = (mine.0, end, mine.2 + tally.get(crate::pipeline::operations::tally::Counter::Events));
            }
        }
    }
    let mut keys: Vec<_> = seen.iter().map(|(key, (first, last, events))| (*key, *first, *last, *events)).collect();
    keys.sort_by_key(|(key, .., events)| (std::cmp::Reverse(*events), *key));
    keys.truncate(RELEASES_TOLD_MAX);
    let scene = Scene { tenant, ledger, span, rules, seen: &seen };
    keys.into_iter().map(|(key, first, last, _)| scene.row(name, key, (first, last))).collect()
}

struct Scene<'s> {
    tenant: &'s Tenant,
    ledger: &'s Ledger,
    span: Span,
    rules: &'s [Rule],
    seen: &'s BTreeMap<(Id, ReleaseKey), (Millis, Millis, u64)>,
}

impl Scene<'_> {
    fn row(&self, tenant: &str, (service, release): (Id, ReleaseKey), (first, last): (Millis, Millis)) -> Row {
        let figures = Account::of(self.ledger, self.span, service, release).whole;
        let service_name = self.tenant.name(service);
        let at = Tier::FiveMinutes.start(last);
        let line = Line::of(self.ledger, &histories(self.ledger, at), (service, release), at);
        let criteria = line.as_ref().map_or_else(Vec::new, |line| {
            let found = criteria(self.ledger, line, self.rules, &service_name, at);
            found.into_iter().map(|criterion| (criterion.clone(), criterion.words(self.tenant.names()))).collect()
        });
        let before = line.map(|line| Before {
            release: self.name(line.old),
            ratio: self.ratio((figures, last.since(first)), service, line.old),
        });
        let name = self.name(release);
        Row { tenant: tenant.to_owned(), service: service_name, release: name, first, last, figures, before, criteria }
    }

    fn name(&self, release: ReleaseKey) -> String {
        match release {
            ReleaseKey::One(id) => self.tenant.name(id),
            ReleaseKey::Untold | ReleaseKey::Others => "others".to_owned(),
        }
    }

    /// By requests where both have them, else by the time in which each was seen in the period.
    fn ratio(&self, (mine, life): (Figures, i64), service: Id, old: ReleaseKey) -> Option<Interval> {
        let (first, last, _) = self.seen.get(&(service, old))?;
        let theirs = Account::of(self.ledger, self.span, service, old).whole;
        if mine.requests > 0 && theirs.requests > 0 {
            return rate_ratio(mine.counted, mine.requests, theirs.counted, theirs.requests);
        }
        let length = |millis: i64| u64::try_from(millis).unwrap_or(0);
        rate_ratio(mine.honest, length(life), theirs.honest, length(last.since(*first)))
    }
}

impl Row {
    fn share(&self) -> Option<Interval> {
        share(self.figures.counted, self.figures.requests)
    }

    fn per_hour(&self) -> f64 {
        let millis = u64::try_from(self.last.since(self.first)).unwrap_or(0).max(1);
        count_f64(self.figures.honest) / count_f64(millis) * 3_600_000.0
    }

    fn rate(&self) -> String {
        self.share().map_or_else(|| format!("{:.1} an hour", self.per_hour()), percent)
    }

    fn unhandled(&self) -> Option<Interval> {
        share(self.figures.unhandled, self.figures.handled + self.figures.unhandled)
    }

    fn made_good(&self) -> Option<Interval> {
        share(self.figures.transient, self.figures.real + self.figures.transient)
    }

    fn amplification(&self) -> Option<Interval> {
        amplification(self.figures.events, self.figures.originals)
    }
}

fn sheet(rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(&[
        "service",
        "release",
        "seen_from",
        "seen_to",
        "panics",
        "honest",
        "requests",
        "rate",
        "times_before",
        "unhandled",
        "made_good",
        "events_per_original",
    ]);
    for row in rows {
        let ratio = row.before.as_ref().and_then(|before| before.ratio);
        sheet.push(vec![
            row.service.as_str().into(),
            row.release.as_str().into(),
            minute(row.first).into(),
            minute(row.last).into(),
            row.figures.events.into(),
            row.figures.honest.into(),
            Some(row.figures.requests).filter(|n| *n > 0).into(),
            row.rate().into(),
            ratio.map(number).into(),
            row.unhandled().map(percent).into(),
            row.made_good().map(percent).into(),
            Cell::from(row.amplification().map(number)),
        ]);
    }
    sheet
}

/// `2026-11-05T14:05Z`: pages begin on whole minutes.
fn minute(at: Millis) -> String {
    let whole = at.to_string();
    whole.split_once(":00.000Z").map_or_else(|| whole.clone(), |(minute, _)| format!("{minute}Z"))
}

fn denominator(rows: &[Row]) -> &'static str {
    let n_told = rows.iter().filter(|row| row.figures.requests > 0).count();
    if n_told == rows.len() {
        "rates are honest panics a request, by the request totals of a traffic feed"
    } else if n_told == 0 {
        "no request totals are known, so nothing is said about shares of traffic: rates are honest panics an hour of the \
         time in which the release was seen"
    } else {
        "request totals are known of some releases alone: the other rates are honest panics an hour"
    }
}

fn for_people(rows: &[Row], span: Span, page: &mut Page<'_>) -> Result<()> {
    page.words(&format!("{} to {}, in pages of {}", span.from, span.to, span.tier.words()))?;
    page.words(&format!("{}; hostile and announced panics are not among the honest ones", denominator(rows)))?;
    for service in rows.chunk_by(|a, b| (&a.tenant, &a.service) == (&b.tenant, &b.service)) {
        page.line("")?;
        if let Some(first) = service.first() {
            page.line(&printable(&first.service))?;
        }
        page.sheet(&rates(service))?;
        page.line("")?;
        page.sheet(&shares(service))?;
        service.iter().try_for_each(|row| judged(row, page))?;
    }
    Ok(())
}

/// What fits a screen, in two parts: how often,
fn rates(rows: &[Row]) -> Sheet {
    let mut sheet =
        Sheet::new(&["release", "seen_from", "seen_to", "panics", "honest", "requests", "rate", "times_before"]);
    for row in rows {
        sheet.push(vec![
            row.release.as_str().into(),
            minute(row.first).into(),
            minute(row.last).into(),
            row.figures.events.into(),
            row.figures.honest.into(),
            Some(row.figures.requests).filter(|n| *n > 0).into(),
            row.rate().into(),
            Cell::from(row.before.as_ref().and_then(|before| before.ratio).map(number)),
        ]);
    }
    sheet
}

/// and what became of it.
fn shares(rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(&["release", "unhandled", "made_good", "events_per_original"]);
    for row in rows {
        sheet.push(vec![
            row.release.as_str().into(),
            row.unhandled().map(percent).into(),
            row.made_good().map(percent).into(),
            Cell::from(row.amplification().map(number)),
        ]);
    }
    sheet
}

fn judged(row: &Row, page: &mut Page<'_>) -> Result<()> {
    page.line("")?;
    let (service, release) = (printable(&row.service), printable(&row.release));
    let Some(before) = &row.before else {
        return page.words(&format!(
            "{service} {release}: no release is known to have been there an hour before it, so no criterion can be held \
             against it"
        ));
    };
    let before = printable(&before.release);
    page.words(&format!("{service} {release}, after {before}, at {}:", minute(row.last)))?;
    row.criteria.iter().try_for_each(|(_, words)| page.words(&format!("- {words}")))
}

fn interval(value: Option<Interval>) -> Value {
    let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
    value.map_or(
        Value::Null,
        |value| json!({"low": finite(value.low), "estimate": finite(value.estimate), "high": finite(value.high)}),
    )
}

fn document(rows: &[Row], span: Span) -> Value {
    let releases: Vec<Value> = rows.iter().map(object).collect();
    json!({
        "from": span.from.to_string(),
        "to": span.to.to_string(),
        "pages_of": span.tier.words(),
        "denominator": denominator(rows),
        "releases": releases,
    })
}

fn object(row: &Row) -> Value {
    let figures = &row.figures;
    let criterion = |(criterion, words): &(Criterion, String)| {
        json!({
            "measure": criterion.measure.name(),
            "limit": criterion.limit,
            "value": interval(criterion.value),
            "before": interval(criterion.before),
            "from": criterion.window.from.to_string(),
            "to": criterion.window.to.to_string(),
            "events": criterion.events,
            "events_needed": criterion.events_min,
            "standing": criterion.standing.words(),
            "words": printable(words),
        })
    };
    json!({
        "tenant": printable(&row.tenant),
        "service": printable(&row.service),
        "release": printable(&row.release),
        "seen_from": row.first.to_string(),
        "seen_to": row.last.to_string(),
        "panics": figures.events,
        "honest": figures.honest,
        "requests": Some(figures.requests).filter(|n| *n > 0),
        "panic_share": interval(row.share()),
        "honest_per_hour": row.per_hour(),
        "handled": figures.handled,
        "unhandled": figures.unhandled,
        "unhandled_share": interval(row.unhandled()),
        "made_good": figures.transient,
        "real": figures.real,
        "recovery_share": interval(row.made_good()),
        "originals": figures.originals,
        "amplification": interval(row.amplification()),
        "before": row.before.as_ref().map(|before| printable(&before.release)),
        "times_before": interval(row.before.as_ref().and_then(|before| before.ratio)),
        "criteria": row.criteria.iter().map(criterion).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_to_the_minute_where_it_is_one() {
        assert_eq!(minute(Millis(0)), "1970-01-01T00:00Z");
        assert_eq!(minute(Millis(1)), "1970-01-01T00:00:00.001Z");
    }
}
