//! Tells each panic that a handler of axum survives as one `panic-event.v1` record, with the request that met it.
//!
//! ```text
//!  panic hook ──► what the panic says (message, place, thread, frames)    ┐
//!  layer      ──► what the request says (route, client, payload, headers) ├─► Event ─► bounded channel ─► your producer
//!  Facts      ──► what only the application knows (token, side effects)   ┘
//! ```
//!
//! ```
//! use axum::{Router, routing::post};
//! use panic_events::{PanicLayer, Settings};
//!
//! let (layer, mut events) = PanicLayer::new(Settings::new("storefront-api"));
//! let app: Router = Router::new().route("/v1/orders", post(async || "taken")).layer(layer);
//! // `events.recv().await` gives each event with its key: hand them to a Kafka producer, as `examples/shop` does.
//! # drop((app, events));
//! ```
//!
//! What it promises: a request is never kept waiting for the channel (an event that finds it full is dropped and
//! counted); a body is never held back (bytes are copied as the handler reads them, up to a bound); the message of a
//! panic is never in the answer; without a panic there is no event.
//!
//! # Ordinary requests
//!
//! A panic shows a client only when it fails. [`PanicLayer::with_samples`] tells of one in so many of the requests that did
//! **not** panic as well, as `request-sample.v1` records: the same form without the panic, the answer's status, and
//! `sample_rate`. Send them to a topic of their own (`[source.feed.TOPIC]` with `carrier = "request_sample"` in
//! panicsift's configuration, or `panicsift replay --samples FILE`): its judge learns from them what is usual at each route
//! and who is served, and does without where there are none.
//!
//! Whoever writes such a layer for another framework keeps to this, so that samples are of the traffic as it is:
//!
//! * One in N is drawn **before the handler runs**, by a keyed hash of an id that the server gives: neither the sender nor
//!   what becomes of the request may matter. N is the same for all routes, or told truly in each record's `sample_rate`.
//! * A request that panicked is never told of as ordinary, whoever caught it: it is an event.
//! * Every other request that was drawn is told of, whatever its status: who is turned away matters as much.
//! * The body, the route, the token's name, the client's address are written exactly as in events: values are compared.
//! * A sample never waits: one that finds the channel full is dropped and counted. Keep an eye on that count, since what is
//!   dropped is not drawn by chance.
//!
//! 1 in 20 is enough for a service of some requests a second, 1 in 1,000 for one of thousands.
//!
//! What it costs, in a release build on a busy machine: 2 µs an ordinary request, 0.5 ms a panic with its frames and
//! 0.1 ms without; the first panic of a process 0.2 s, since the program's symbols are read then.
//!
//! What it cannot do: with `panic = "abort"`, on a stack overflow or out of memory the process ends, and the event with
//! it. A panic in a task that the handler spawned is seen as what the handler makes of its `JoinError`, unless the task
//! is [watched](Facts::watch). A panic that the handler itself catches is the handler's business and is not told.

mod body;
mod event;
mod facts;
mod hook;
mod layer;
mod ordinary;

pub use event::Event;
pub use facts::{Facts, TokenKey};
pub use layer::{Dropped, PanicLayer, PanicService, Settings};
