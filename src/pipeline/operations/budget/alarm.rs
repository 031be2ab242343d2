//! When a burning error budget is told: two windows that both burn too fast, as the Site Reliability Workbook advises.
//!
//! Reads windows of the ledger; gives, for each [`Pair`], how it stands, and turns the alarms of the objectives. A pair
//! fires where the long window holds a least number of failed requests, burns at the limit even at the lower end of
//! Wilson's interval on its share, and the short window burns at the limit, too: a handful of failures tells nobody.
//! Time without request totals counts as good in the long window, so that ten minutes of data do not speak for six hours.
//! The gravest pair that fires gives the severity.
//!
//! Looked at once in five minutes of event time, [`GRACE_MILLIS`] after a page is over, so that its requests have come.
//! Costs half a millisecond an objective then, and nothing in between.

use std::collections::BTreeMap;

use super::slo::{Pair, Scope, Slo};
use super::{Burn, Figures, Place, Split, Window, end_of_data};
use crate::pipeline::alert::{Alert, Category, Change, Counted, Counts, Finding, Portrait, Severity};
use crate::pipeline::cell::text_id;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::life::Word;
use crate::pipeline::names::Names;
use crate::pipeline::operations::alarms::{AlarmKey, Alarms, Told};
use crate::pipeline::operations::interval;
use crate::pipeline::operations::ledger::{Ledger, Tier};
use crate::pipeline::operations::owners::Owners;
use crate::pipeline::sample::count_f64;
use crate::pipeline::state::StateRow;
use crate::pipeline::surfaces::ReleaseKey;
use crate::pipeline::{Context, Step};

/// How long after the end of a page it is looked at: a feed that writes a window when it is over needs some seconds.
pub const GRACE_MILLIS: i64 = Millis::MINUTE;

/// Routes and releases that an alert names.
const LISTED_MAX: usize = 20;

/// How one pair of windows stands.
#[derive(Debug, Clone, PartialEq)]
pub struct PairState {
    /// The pair.
    pub pair: Pair,
    /// The long window.
    pub long: Window,
    /// The short window.
    pub short: Window,
    /// Burn rate of the long window.
    pub long_burn: Option<f64>,
    /// What it is at least, with 95 % confidence, and with unknown time as good.
    pub long_burn_at_least: Option<f64>,
    /// Burn rate of the short window.
    pub short_burn: Option<f64>,
    /// Failed requests of the long window that count, where requests are known.
    pub n_counted: u64,
    /// Whether the long window burns too fast.
    pub long_met: bool,
    /// Whether the short window does.
    pub short_met: bool,
}

impl PairState {
    /// Whether both do.
    pub fn fires(&self) -> bool {
        self.long_met && self.short_met
    }

    fn of(slo: &Slo, pair: Pair, long: Window, short: Window) -> Self {
        let n_counted = long.events_with_requests.counted(slo);
        let share = interval::share(n_counted, long.requests).filter(|_| long.has_rates());
        let at_least = share.zip(slo.burn(1, 1)).map(|(share, burn)| share.low * burn * long.coverage());
        let (long_burn, short_burn) = (long.burn_counted(slo), short.burn_counted(slo));
        let enough = slo.alarm.is_some_and(|rule| n_counted >= rule.events_min);
        let long_met = enough && at_least.is_some_and(|burn| burn >= pair.limit);
        let short_met = short_burn.is_some_and(|burn| burn >= pair.limit);
        Self { pair, long, short, long_burn, long_burn_at_least: at_least, short_burn, n_counted, long_met, short_met }
    }

    fn findings(&self, slo: &Slo) -> [Finding; 2] {
        let Self { pair, long, short, .. } = self;
        let share = |window: &Window| {
            let (bad, requests) = (window.events_with_requests.counted(slo), window.requests);
            format!("{}: {bad} of {requests} requests failed", window.name)
        };
        let limit = pair.limit;
        let unsaid = |window: &Window| match window.requests {
            0 => format!("{}: no requests are known, so that nothing can be said", window.name),
            n => format!("{}: {n} requests are fewer than the panics, so that nothing can be said", window.name),
        };
        let long_words = match (self.long_burn, self.long_burn_at_least) {
            (Some(burn), Some(at_least)) => {
                let said = format!(
                    "{}, {burn:.2} times the even pace, at least {at_least:.2} times with 95 % confidence; limit {limit:.2} \
                     and {} failed requests",
                    share(long),
                    slo.alarm.map_or(0, |rule| rule.events_min)
                );
                let covered = minutes(long.covered_millis);
                let rest =
                    format!("{said}; requests are known for {covered} of {}, the rest counts as good", long.name);
                if long.covered_millis < long.millis { rest } else { said }
            }
            _ => unsaid(long),
        };
        let short_words = self.short_burn.map_or_else(
            || unsaid(short),
            |burn| format!("{}, {burn:.2} times the even pace; limit {limit:.2}", share(short)),
        );
        let finding = |name, value, met, words| Finding { name, value, limit: Some(limit), met, words };
        [
            finding(format!("long_burn_{}", long.name), self.long_burn, self.long_met, long_words),
            finding(format!("short_burn_{}", short.name), self.short_burn, self.short_met, short_words),
        ]
    }
}

/// `40 min`, `6 h`, `3 d`, for lengths of whole pages.
pub fn minutes(millis: i64) -> String {
    match millis {
        _ if millis >= Millis::DAY && millis % Millis::DAY == 0 => format!("{} d", millis / Millis::DAY),
        _ if millis >= Millis::HOUR && millis % Millis::HOUR == 0 => format!("{} h", millis / Millis::HOUR),
        _ => format!("{} min", millis / Millis::MINUTE),
    }
}

/// How the pairs of an objective stand; `window` gives the window of so many milliseconds.
pub fn pair_states(slo: &Slo, window: impl Fn(i64) -> Option<Window>) -> Vec<PairState> {
    let state = |pair: Pair| Some(PairState::of(slo, pair, window(pair.long_millis)?, window(pair.short_millis)?));
    slo.pairs().filter_map(state).collect()
}

/// The subject of an objective's alarm in a tenant.
pub fn subject(tenant: Id, slo: &Slo) -> AlarmKey {
    AlarmKey { category: Category::ErrorBudget, subject: text_id(tenant, &slo.name) }
}

/// What objectives of one tenant are looked at with.
pub(in crate::pipeline) struct Scene<'s> {
    pub(in crate::pipeline) context: &'s Context,
    pub(in crate::pipeline) tenant: Id,
    pub(in crate::pipeline) names: &'s Names,
    pub(in crate::pipeline) ledger: &'s Ledger,
}

/// When the objectives of one tenant were last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// The five minutes; kept in the store, so that a restart looks neither twice nor never.
    slot: Option<Millis>,
    is_changed: bool,
}

impl Watch {
    /// Looks at the objectives if it is time to; tells what changed.
    pub(in crate::pipeline) fn look(&mut self, scene: &Scene<'_>, alarms: &mut Alarms, now: Millis, step: &mut Step) {
        let slot = Tier::FiveMinutes.start(now.plus(-GRACE_MILLIS));
        let is_open = |alarms: &Alarms| alarms.iter().any(|(key, _)| key.category == Category::ErrorBudget);
        if self.slot == Some(slot) || (scene.context.operations.slos.is_empty() && !is_open(alarms)) {
            return;
        }
        (self.slot, self.is_changed) = (Some(slot), true);
        let keys = &scene.context.keys;
        let ours = |slo: &&Slo| slo.alarm.is_some() && keys.name(slo.tenant.as_bytes()) == scene.tenant;
        let watched: BTreeMap<AlarmKey, &Slo> =
            scene.context.operations.slos.iter().filter(ours).map(|slo| (subject(scene.tenant, slo), slo)).collect();
        let owners = Owners::of(scene.ledger);
        for (key, slo) in &watched {
            let routes = slo.routes.iter().map(|route| keys.name(route.as_bytes())).collect();
            let scope = Scope::new(&owners, keys.name(slo.service.as_bytes()), routes);
            turn(scene, alarms, (*key, slo, &scope), now, step);
        }
        let gone = |key: &&AlarmKey| key.category == Category::ErrorBudget && !watched.contains_key(key);
        let gone: Vec<AlarmKey> = alarms.iter().map(|(key, _)| key).filter(gone).copied().collect();
        for key in gone {
            let word = Word { holds: false, severity: Severity::default(), last_event: now };
            if let Some(told) = alarms.turn(&scene.context.alerts, key, word, now) {
                let title = "the objective is not in the configuration any more".to_owned();
                let portrait = Portrait { title, ..bare(scene, &told, now) };
                step.alerts.push(Alert::of_operations(key.category, &told, now, portrait, Vec::new()));
            }
        }
    }

    /// The rows that changed since the last call.
    pub(in crate::pipeline) fn take_rows(&mut self) -> Vec<StateRow> {
        let changed = std::mem::take(&mut self.is_changed);
        changed.then(|| StateRow::of("budget", &(), self.slot.as_ref())).flatten().into_iter().collect()
    }

    /// Puts back what a store kept.
    pub(in crate::pipeline) fn restore(rows: impl IntoIterator<Item = ((), Millis)>) -> Self {
        Self { slot: rows.into_iter().next().map(|((), slot)| slot), is_changed: false }
    }
}

/// Turns the alarm of one objective.
fn turn(
    scene: &Scene<'_>,
    alarms: &mut Alarms,
    (key, slo, scope): (AlarmKey, &Slo, &Scope),
    now: Millis,
    step: &mut Step,
) {
    let end = end_of_data(scene.ledger, scope, now);
    let states = pair_states(slo, |millis| Some(Window::read(&length(millis), millis, scene.ledger, scope, end)));
    let firing = states.iter().filter(|state| state.fires()).max_by_key(|state| state.pair.severity);
    let severity_told = alarms.iter().find(|(other, _)| **other == key).map_or(Severity::Low, |(_, a)| a.life.told);
    let severity = firing.map_or(severity_told, |state| state.pair.severity);
    // While it does not burn, the alarm is closed because it is calm, not because nothing is heard.
    let last_event = if firing.is_some() { end } else { now };
    let word = Word { holds: firing.is_some(), severity, last_event };
    let Some(told) = alarms.turn(&scene.context.alerts, key, word, now) else { return };
    let figures = Figures::of(slo, scope, scene.ledger, end);
    let mut findings: Vec<Finding> = states.iter().flat_map(|state| state.findings(slo)).collect();
    let shown = firing.or_else(|| states.first());
    findings.extend(shown.and_then(|state| beside(slo, &state.long)));
    findings.extend(figures.budget.map(|budget| Finding {
        name: "budget_used".to_owned(),
        value: Some(budget.used_of_window),
        limit: Some(1.0),
        met: budget.used_of_window >= 1.0,
        words: format!(
            "{:.2} % of the budget of {} days is used, {:.2} % of what the known requests allow",
            100.0 * budget.used_of_window,
            slo.window_days,
            100.0 * budget.used
        ),
    }));
    let portrait = portrait(scene, (slo, scope), &told, shown, end);
    step.alerts.push(Alert::of_operations(key.category, &told, now, Portrait { severity, ..portrait }, findings));
}

/// The name of a window of a pair.
fn length(millis: i64) -> String {
    minutes(millis).replace(" min", "m").replace(' ', "")
}

/// What does not burn the budget in a window, in words.
fn beside(slo: &Slo, window: &Window) -> Option<Finding> {
    let split: &Split = &window.events;
    let others = Burn::ALL.into_iter().filter(|burn| !slo.counts.contains(burn));
    let words: Vec<String> = others.map(|burn| format!("{} {}", split.get(burn), burn.name())).collect();
    let n = split.total().saturating_sub(split.counted(slo));
    (!words.is_empty()).then(|| Finding {
        name: format!("not_counted_{}", window.name),
        value: Some(count_f64(n)),
        limit: None,
        met: false,
        words: format!("{}: {} panics do not burn the budget: {}", window.name, n, words.join(", ")),
    })
}

fn bare(scene: &Scene<'_>, told: &Told, last: Millis) -> Portrait {
    Portrait {
        first_event: told.since.to_string(),
        last_event: last.to_string(),
        tenant: scene.names.text(scene.tenant),
        model: scene.context.version.clone(),
        ..Portrait::default()
    }
}

fn portrait(
    scene: &Scene<'_>,
    (slo, scope): (&Slo, &Scope),
    told: &Told,
    shown: Option<&PairState>,
    end: Millis,
) -> Portrait {
    let bare = bare(scene, told, end);
    let Some(state) = shown else { return bare };
    let title = match (told.change, state.long_burn) {
        (Change::Closed, _) => format!("the error budget of {} does not burn too fast any more", slo.name),
        (_, burn) => {
            let share = 100.0 * count_f64(state.n_counted) / count_f64(state.long.requests.max(1));
            format!(
                "the error budget of {} burns {:.1} times too fast: in {} {share:.2} % of requests to {} failed \
                 (objective {})",
                slo.name,
                burn.unwrap_or_default(),
                minutes(state.long.millis),
                slo.subject(),
                slo.objective_words()
            )
        }
    };
    let [mut routes, mut releases] = [BTreeMap::new(), BTreeMap::new()];
    for (_, page) in scene.ledger.pages(state.long.span) {
        for (account, tally) in page.accounts().filter(|(account, _)| scope.place(account) == Place::Inside) {
            let n = slo.counts.iter().map(|burn| tally.get(burn.counter())).sum::<u64>();
            if let Some(route) = account.route.id() {
                *routes.entry(scene.names.text(route)).or_insert(0) += n;
            }
            if let ReleaseKey::One(release) = account.release {
                *releases.entry(scene.names.text(release)).or_insert(0) += n;
            }
        }
    }
    let events = state.long.events.counted(slo);
    let (routes, n_routes) = listed(routes);
    Portrait {
        title,
        counts: Counts { events, routes: n_routes, ..Counts::default() },
        services: vec![Counted { name: slo.service.clone(), events }],
        routes,
        releases: listed(releases).0,
        ..bare
    }
}

/// The most frequent names, and how many have events at all.
fn listed(by_name: BTreeMap<String, u64>) -> (Vec<Counted>, u64) {
    let mut listed: Vec<Counted> =
        by_name.into_iter().filter(|(_, n)| *n > 0).map(|(name, events)| Counted { name, events }).collect();
    let n_all = listed.len() as u64;
    listed.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
    listed.truncate(LISTED_MAX);
    (listed, n_all)
}
