//! The one integration test binary; each module says in a sentence what it holds.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by panicking, in its helpers too")]

mod kafka_live;
mod mock_broker;
mod servers_live;
mod support;
