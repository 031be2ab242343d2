//! What operations ask of the same events: an account of them over time, and whether requests may be sent again.
//!
//! [`Operations::observe`] takes an event with what is known beside it; [`Operations::close`] looks, once an epoch, at
//! what has become of the account. Everything here is a tenant's; a report reads it through [`Operations::ledger`].
//! The judge does not hear of any of it, and hears nothing here but whether a cluster is held for hostile.
//!
//! Bounds and costs: those of the parts.

pub mod alarms;
pub mod budget;
pub mod chains;
pub mod gate;
pub mod interval;
pub mod ledger;
pub mod tally;

use self::alarms::Alarms;
use self::budget::alarm::{Scene, Watch};
use self::chains::Chains;
use self::gate::{GateFacts, gate};
use self::ledger::Ledger;
use self::tally::{Circumstances, Poisoning};
use super::event::{Id, Millis};
use super::names::Names;
use super::observation::Observation;
use super::state::StateRow;
use super::{Context, Step};

/// The operations' side of one tenant's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    ledger: Ledger,
    chains: Chains,
    alarms: Alarms,
    budgets: Watch,
}

impl Operations {
    /// Takes in an event. `hostile`: its cluster is held for hostile now; `poisoned`: a panic before it had left its
    /// isolate poisoned.
    pub fn observe(&mut self, o: &Observation<'_>, hostile: bool, poisoned: Option<Poisoning>) {
        let (gate, _) = gate(GateFacts::of(o));
        let link = self.chains.link(o, gate);
        self.ledger.observe(o, Circumstances { hostile, gate, link, poisoned });
    }

    /// Looks, once an epoch of event time, at what has become of the account.
    pub(super) fn close(&mut self, context: &Context, now: Millis) {
        self.ledger.settle();
        self.alarms.forget(&context.alerts, now);
    }

    /// Looks at the error budgets of the tenant with this id, when it is time to, and tells which burn too fast.
    pub(super) fn watch_budgets(
        &mut self,
        context: &Context,
        (tenant, names): (Id, &Names),
        now: Millis,
        step: &mut Step,
    ) {
        let scene = Scene { context, tenant, names, ledger: &self.ledger };
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

    /// Situations that alerts are told of.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The ids whose names a report shows.
    pub fn names(&self) -> impl Iterator<Item = Id> {
        self.ledger.names()
    }

    /// Forgets what can have no consequence any more at `now`.
    pub fn forget(&mut self, now: Millis) {
        self.chains.forget(now);
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let parts =
            [self.ledger.take_rows(), self.chains.take_rows(), self.alarms.take_rows(), self.budgets.take_rows()];
        parts.concat()
    }

    /// Puts back what a store kept; `read` gives the rows of a kind.
    pub(super) fn restore(reader: &mut super::stored::Reader<'_>) -> Self {
        Self {
            ledger: Ledger::restore(reader.read("ledger"), reader.read("ledger_reach")),
            chains: Chains::restore(reader.read("chain")),
            alarms: Alarms::restore(reader.read("alarm")),
            budgets: Watch::restore(reader.read("budget")),
        }
    }
}
