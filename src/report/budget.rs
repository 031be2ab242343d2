//! `budget`: how the error budgets of objectives stand, in windows from five minutes up.
//!
//! Reads the ledger, and the objectives of a configuration, of the store (the service leaves there what it watches) or
//! of the command line. Splits the panics of each window into those that burn the budget and those that do not, and
//! tells burn rates where requests are known; where they are not, or for a part of a window alone, it says so. Names
//! become ids by what the ledger has seen: what it has not seen is said, with what there is.
//!
//! Costs what reading the ledger costs, some ten milliseconds, and a few more an objective.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::told::Told;
use super::period::Instant;
use super::sheet::printable;
use super::{Format, Page, restore_operations};
use crate::edge::store::Store;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::budget::alarm::{pair_states, subject};
use crate::pipeline::operations::budget::slo::{STORED_AS, Scope, Slo};
use crate::pipeline::operations::budget::{Figures, end_of_data};
use crate::pipeline::operations::ledger::{Ledger, Span, Tier};
use crate::pipeline::operations::owners::Owners;
use crate::pipeline::state::State;
use crate::pipeline::tenant::Tenant;

/// Names that a refusal lists, of those there are.
const NAMES_LISTED_MAX: usize = 20;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Only the objective of this name.
    pub name: Option<String>,
    /// An objective of the command line, in place of those that are configured.
    pub typed: Option<Slo>,
    /// When; `None`: at the end of the store.
    pub at: Option<Instant>,
}

/// Tells the error budgets over the store at `store`; `configured` are a configuration's objectives, where one is named.
///
/// # Errors
/// A store that cannot be read or has no events, no objective, an objective, a service or a route of the command line
/// that is not known, and a time of which nothing is known.
pub fn answer(
    store: &Path,
    question: &Question,
    configured: Option<Vec<Slo>>,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let store = Store::open_read_only(store)?;
    let slos = match (&question.typed, configured) {
        (Some(typed), _) => vec![typed.clone()],
        (None, Some(configured)) => configured,
        (None, None) => stored(&store)?,
    };
    tell(&restore_operations(&store)?, question, &slos, format, out)
}

/// The objectives that the store's service watches.
fn stored(store: &Store) -> Result<Vec<Slo>> {
    let Some(text) = store.meta(STORED_AS)? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).context("the store's objectives cannot be read; name a configuration with --config")
}

/// Tells the error budgets over a state.
///
/// # Errors
/// As [`answer`].
pub fn tell(state: &State, question: &Question, slos: &[Slo], format: Format, out: &mut dyn Write) -> Result<()> {
    if slos.is_empty() {
        bail!(
            "no objective is known: write [[slo]] into the configuration and name it with --config, or ask with \
             --service NAME --objective 0.999"
        );
    }
    let chosen: Vec<&Slo> =
        slos.iter().filter(|slo| question.name.as_ref().is_none_or(|name| *name == slo.name)).collect();
    if let (Some(name), true) = (&question.name, chosen.is_empty()) {
        let names = slos.iter().map(|slo| slo.name.clone()).collect();
        bail!("there is no objective {name:?}; there {}", listed(&names));
    }
    let at = moment(state, question.at)?;
    let mut told = Vec::new();
    for slo in chosen {
        told.push(one(state, slo, at, question.typed.is_some())?);
    }
    let page = &mut Page { format, out };
    match format {
        Format::Table => told.iter().enumerate().try_for_each(|(n, one)| {
            if n > 0 {
                page.line("")?;
            }
            one.for_people(page)
        }),
        Format::Json => {
            let slos: Vec<_> = told.iter().map(Told::object).collect();
            page.object(&serde_json::json!({ "at": at.to_string(), "slos": slos }))
        }
        Format::Csv => page.sheet(&told::sheet(&told)),
    }
}

/// The time that is meant. The end of the store is the end of the five minutes that are under way.
fn moment(state: &State, at: Option<Instant>) -> Result<Millis> {
    let Some(now) = state.now() else { bail!("the store has no events to report on yet") };
    let last = Tier::FiveMinutes.start(now).plus(Tier::FiveMinutes.millis());
    let at = match at {
        None => return Ok(last),
        Some(Instant::At(at)) => at,
        Some(Instant::Ago(millis)) => last.plus(-millis),
    };
    let first =
        state.tenants().filter_map(|(_, tenant)| tenant.operations().ledger().extent()).map(|all| all.from).min();
    match first {
        Some(first) if at > first && at <= last => Ok(at),
        _ => bail!("nothing is known of {at}: the store holds {} to {last}", first.unwrap_or(last)),
    }
}

/// The names of some ids of a ledger.
type Named = BTreeMap<String, BTreeSet<Id>>;

/// What there is in one tenant's ledger, by name.
struct Known {
    services: Named,
    /// Routes of the service that is asked for, and those of which only requests are known.
    routes: Named,
}

impl Known {
    fn of(tenant: &Tenant, service: &str) -> Self {
        let ledger = tenant.operations().ledger();
        let all = Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier: Tier::Days };
        let pairs: BTreeSet<(Option<Id>, Option<Id>)> = ledger
            .pages(all)
            .flat_map(|(_, page)| {
                let panics = page.accounts().map(|(account, _)| (account.service, account.route.id()));
                panics.chain(page.requests().map(|(demand, _)| (demand.service, Some(demand.route))))
            })
            .collect();
        let mut known = Self { services: Named::new(), routes: Named::new() };
        for (of, route) in pairs {
            let name = of.map(|of| tenant.name(of));
            if let Some(route) = route.filter(|_| name.as_deref().is_none_or(|name| name == service)) {
                known.routes.entry(tenant.name(route)).or_default().insert(route);
            }
            if let (Some(id), Some(name)) = (of, name) {
                known.services.entry(name).or_default().insert(id);
            }
        }
        known
    }
}

/// Works one objective out. What is not known of one that was typed is an error; of a configured one it is said.
fn one(state: &State, slo: &Slo, at: Millis, is_typed: bool) -> Result<Told> {
    let Some((id, tenant)) = state.tenants().find(|(id, tenant)| tenant.name(*id) == slo.tenant) else {
        let names = state.tenants().map(|(id, tenant)| tenant.name(id)).collect();
        return unknown(
            slo,
            at,
            is_typed,
            format!("no event of the tenant {:?} is known; there {}", slo.tenant, listed(&names)),
        );
    };
    let known = Known::of(tenant, &slo.service);
    let Some(service) = known.services.get(&slo.service).and_then(BTreeSet::first) else {
        let names = known.services.into_keys().collect();
        let words =
            format!("no event and no request of the service {:?} is known; there {}", slo.service, listed(&names));
        return unknown(slo, at, is_typed, words);
    };
    let strange: Vec<&String> = slo.routes.iter().filter(|route| !known.routes.contains_key(*route)).collect();
    let mut notes = Vec::new();
    if let Some(route) = strange.first() {
        let names = known.routes.keys().cloned().collect();
        let words = format!("no event and no request of the route {route:?} is known; there {}", listed(&names));
        if is_typed || strange.len() == slo.routes.len() {
            return unknown(slo, at, is_typed, words);
        }
        notes.push(words);
    }
    let routes = slo.routes.iter().filter_map(|route| known.routes.get(route)).flatten().copied().collect();
    let ledger = tenant.operations().ledger();
    let owners = Owners::of(ledger);
    let scope = Scope::new(&owners, *service, routes);
    let figures = Figures::of(slo, &scope, ledger, end_of_data(ledger, &scope, at));
    let pairs = pair_states(slo, |millis| figures.windows.iter().find(|window| window.millis == millis).cloned());
    notes.extend(told::notes(slo, &figures, at));
    notes.extend(unclaimed(slo, &figures, ledger, &owners));
    let key = subject(id, slo);
    let open = tenant.operations().alarms().open().find(|(other, ..)| *other == key);
    let open = open.map(|(_, alarm, name)| (name, alarm.since, alarm.life.told));
    Ok(Told { slo: slo.clone(), figures, pairs, open, notes })
}

/// What is told of an objective of which nothing is known.
fn unknown(slo: &Slo, at: Millis, is_typed: bool, words: String) -> Result<Told> {
    if is_typed {
        bail!("{words}");
    }
    let nothing = Ledger::default();
    let scope = Scope::new(&Owners::default(), Id(0), BTreeSet::new());
    let figures = Figures::of(slo, &scope, &nothing, Tier::FiveMinutes.start(at));
    Ok(Told { slo: slo.clone(), figures, pairs: Vec::new(), open: None, notes: vec![words] })
}

/// Requests of which nobody knows the service, where the objective is about all routes of one.
fn unclaimed(slo: &Slo, figures: &Figures, ledger: &Ledger, owners: &Owners) -> Option<String> {
    let span = figures.own().filter(|_| slo.routes.is_empty())?.span;
    let requests = ledger.pages(span).flat_map(|(_, page)| page.requests());
    let n = requests
        .filter(|(demand, _)| owners.service(demand).is_none())
        .fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    (n > 0).then(|| {
        format!(
            "{n} requests name no service, and no or more than one service panics on their routes: they are not among \
             the requests"
        )
    })
}

/// `is "a"`, `are "a", "b" and 12 more`, `is none`.
fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<String> =
        names.iter().take(NAMES_LISTED_MAX).map(|name| format!("\"{}\"", printable(name))).collect();
    let verb = if names.len() > 1 { "are" } else { "is" };
    match names.len().saturating_sub(shown.len()) {
        _ if shown.is_empty() => "is none".to_owned(),
        0 => format!("{verb} {}", shown.join(", ")),
        more => format!("{verb} {} and {more} more", shown.join(", ")),
    }
}
