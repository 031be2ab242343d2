//! What operations ask of the same events: an account of them over time, and whether requests may be sent again.
//!
//! [`Operations::observe`] takes an event with what is known beside it; [`Operations::close`] looks, once an epoch, at
//! what has become of the account. Everything here is a tenant's; a report reads it through [`Operations::ledger`].
//! The judge does not hear of any of it, and hears nothing here but whether a cluster is held for hostile.
//!
//! Bounds and costs: those of the parts.

pub mod alarms;
pub mod budget;
pub mod cascade;
pub mod chains;
pub mod gate;
pub mod idempotent;
pub mod interval;
pub mod ledger;
pub mod owners;
pub mod policy;
pub mod releases;
pub mod rollback;
pub mod storms;
pub mod tally;
mod watch;

use self::alarms::Alarms;
use self::budget::alarm::Watch;
use self::budget::slo::Slo;
use self::cascade::CascadeLimits;
use self::chains::Chains;
use self::gate::{GateFacts, gate};
use self::idempotent::Declared;
use self::ledger::Ledger;
use self::policy::Policies;
use self::rollback::Rule;
use self::storms::{Scene, Storms};
use self::tally::{Circumstances, Poisoning};
use self::watch::{Lines, Lookout};
use super::event::{Id, Millis};
use super::names::Names;
use super::observation::Observation;
use super::state::StateRow;
use super::{Context, Step};

/// What operations are told by.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Routes that are declared idempotent.
    pub declared: Declared,
    /// When retries are a cascade.
    pub cascade: CascadeLimits,
    /// When a release should go.
    pub rollback: Vec<Rule>,
    /// Service level objectives, in the order of the configuration; names are unique.
    pub slos: Vec<Slo>,
}

impl Default for Rules {
    fn default() -> Self {
        let (declared, cascade) = (Declared::default(), CascadeLimits::default());
        Self { declared, cascade, rollback: Rule::usual(), slos: Vec::new() }
    }
}

/// The operations' side of one tenant's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    ledger: Ledger,
    chains: Chains,
    policies: Policies,
    alarms: Alarms,
    lines: Lines,
    storms: Storms,
    budgets: Watch,
}

impl Operations {
    /// Takes in an event. `hostile`: its cluster is held for hostile now; `poisoned`: a panic before it had left its
    /// isolate poisoned.
    pub fn observe(&mut self, o: &Observation<'_>, hostile: bool, poisoned: Option<Poisoning>) {
        let word = gate(GateFacts::of(o));
        let (gate, _) = word;
        let link = self.chains.link(o, gate);
        self.policies.observe(o, word, link);
        self.ledger.observe(o, Circumstances { hostile, gate, link, poisoned });
    }

    /// Looks, once an epoch of event time, at what has become of the account.
    pub(super) fn close(&mut self, context: &Context, names: &Names, now: Millis, step: &mut Step) {
        self.ledger.settle();
        let lookout = Lookout { ledger: &self.ledger, context, names, now };
        lookout.look(&mut self.lines, &mut self.alarms, step);
        let (ledger, policy, model) = (&self.ledger, &context.alerts, context.version.as_str());
        self.storms.close(Scene { ledger, names, policy, model, now }, &mut self.alarms, &mut step.alerts);
        self.alarms.forget(now);
    }

    /// Looks at the error budgets of the tenant with this id, when it is time to, and tells which burn too fast.
    pub(super) fn watch_budgets(
        &mut self,
        context: &Context,
        (tenant, names): (Id, &Names),
        now: Millis,
        step: &mut Step,
    ) {
        let scene = budget::alarm::Scene { context, tenant, names, ledger: &self.ledger };
        self.budgets.look(&scene, &mut self.alarms, now, step);
    }

    /// What became of panics, over time.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The same, to count requests in.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// What the gate said of each route and class, and what retries did.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Situations that alerts are told of.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Bursts of contained panics.
    pub fn storms(&self) -> &Storms {
        &self.storms
    }

    /// The ids whose names a report shows.
    pub fn names(&self) -> impl Iterator<Item = Id> {
        self.ledger.names().chain(self.policies.names())
    }

    /// Forgets what can have no consequence any more at `now`.
    pub fn forget(&mut self, now: Millis) {
        self.chains.forget(now);
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let retries = [self.chains.take_rows(), self.policies.take_rows()];
        let situations = [self.alarms.take_rows(), self.storms.take_rows(), self.budgets.take_rows()];
        [self.ledger.take_rows(), retries.concat(), situations.concat()].concat()
    }

    /// Puts back what a store kept; `read` gives the rows of a kind.
    pub(super) fn restore(reader: &mut super::stored::Reader<'_>) -> Self {
        Self {
            ledger: Ledger::restore(reader.read("ledger"), reader.read("ledger_reach")),
            chains: Chains::restore(reader.read("chain")),
            policies: Policies::restore(reader.read("retry_policy")),
            alarms: Alarms::restore(reader.read("alarm")),
            lines: Lines::default(),
            storms: Storms::restore(reader.read("storm")),
            budgets: Watch::restore(reader.read("budget")),
        }
    }
}
