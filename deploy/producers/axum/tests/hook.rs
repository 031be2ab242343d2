//! The hook beside others: in a program of its own, since a hook belongs to the whole process.

#![expect(clippy::panic, reason = "its handler panics to be caught")]

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use panic_events::{PanicLayer, Settings};
use serde_json::Value;
use tower::ServiceExt;

async fn always() -> String {
    panic!("always")
}

#[tokio::test]
async fn the_hook_that_was_there_runs_once_a_panic_however_many_layers_there_are() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    std::panic::set_hook(Box::new(|_| {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }));
    for n in 1..=2 {
        let (layer, mut events) = PanicLayer::new(Settings::new("shop"));
        let app: Router = Router::new().route("/", get(always)).layer(layer);
        let answer = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 500);
        let event: Value = serde_json::from_slice(&events.try_recv().unwrap().json).unwrap();
        assert_eq!(event["panic"]["file"], "tests/hook.rs");
        assert!(events.try_recv().is_err());
        assert_eq!(SEEN.load(Ordering::Relaxed), n);
    }
}
