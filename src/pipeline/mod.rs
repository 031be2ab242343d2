//! The pure core: what one record says ([`examine`]) and what a batch changes ([`fold`]).
//!
//! Everything under this module is a function of its arguments: no clock, disk, network, environment, task, metric or
//! log. Time is passed in, effects are returned. That is what makes replay exact, proof possible and the panic fence
//! around a record honest. Files stand in the order in which a record meets them.

pub mod event;
pub mod keys;
pub mod memo;
pub mod observation;

pub mod alert;
pub mod classify;
pub mod decode;
pub mod enrich;
pub mod fingerprint;
pub mod judge;
pub mod state;
