//! The structured line: `console.error({"panic_event": {…panic-event.v1…}})`, written by the panic hook.
//!
//! The hook, because in an abort build nothing runs after it. It finds the request in a thread-local that
//! [`recover`] sets whenever it runs the request's work: an isolate serves several requests in turn, and between two
//! awaits of one of them others run.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::Poll;

use serde_json::{Value, json};
use worker::Request;
use worker::js_sys::{self, JSON};
use worker::wasm_bindgen::JsValue;
use worker::web_sys::console;

/// Bytes of a body that are kept: a trace item has room for 256 KiB in all, and JSON may need six bytes for one.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Bytes of a message that are kept.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

thread_local! {
    /// The request whose work runs now.
    static SERVED: RefCell<Option<Served>> = const { RefCell::new(None) };
    /// Panics of this instance, for ids.
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// What is known of a request; cheap to clone, shared with all its clones.
#[derive(Clone)]
pub struct Served(Rc<RefCell<Value>>);

impl Served {
    /// What the request itself says. Of the headers only those that are named here: never `authorization` or `cookie`.
    pub fn new(service: &str, request: &Request) -> Self {
        let header = |name: &str| request.headers().get(name).ok().flatten();
        let method = request.method().to_string();
        Self(Rc::new(RefCell::new(json!({
            "service": service,
            "method": method,
            "path": request.path(),
            "client": {"ip": header("cf-connecting-ip"), "user_agent": header("user-agent")},
            "request": {
                "id": header("cf-ray").map(|ray| ray.split('-').next().unwrap_or_default().to_owned()),
                "content_type": header("content-type"),
                "content_length": header("content-length").and_then(|length| length.parse::<u64>().ok()),
                "idempotency_key": header("idempotency-key"),
            },
        }))))
    }

    fn note(&self, note: impl FnOnce(&mut Value)) {
        // It is borrowed only while a note is made.
        if let Ok(mut noted) = self.0.try_borrow_mut() {
            note(&mut noted);
        }
    }

    /// The body, as soon as it was read: its beginning, where it is text.
    pub fn payload(&self, body: &[u8]) {
        let kept = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        // A cut may go through a letter; what is no text has its length only.
        let text = match std::str::from_utf8(kept) {
            Ok(text) => Some(text),
            Err(error) if kept.len() < body.len() && error.error_len().is_none() => {
                kept.get(..error.valid_up_to()).and_then(|kept| std::str::from_utf8(kept).ok())
            }
            Err(_) => None,
        };
        self.note(|noted| {
            noted["request"]["content_length"] = body.len().into();
            noted["request"]["payload"] = text.into();
            noted["request"]["payload_truncated"] = text.map(|text| text.len() < body.len()).into();
        });
    }

    /// The token that came with the request: a keyed hash of its id, and its scopes.
    pub fn token(&self, id_hash: String, scopes: &[&str]) {
        self.note(|noted| noted["token"] = json!({"id_hash": id_hash, "scope": scopes, "valid": true}));
    }

    /// Something that will outlive a panic has been done.
    pub fn side_effect(&self, kind: &str) {
        self.note(|noted| match noted["side_effects"].as_array_mut() {
            Some(effects) => effects.push(json!({"kind": kind})),
            None => noted["side_effects"] = json!([{"kind": kind}]),
        });
    }
}

/// Runs the work of a request; `None` where it panicked and panics unwind.
pub async fn recover<F: Future>(served: Served, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let outer = SERVED.replace(Some(served.clone()));
        // What the work left half done is dropped with it.
        let poll = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        SERVED.set(outer);
        match poll {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Installs the hook, once an instance, over the one of the `worker` crate, which logs `Critical` first.
pub fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            previous(info);
            log(info);
        }));
    });
}

fn log(info: &PanicHookInfo<'_>) {
    let served =
        SERVED.with_borrow(|served| served.as_ref().and_then(|served| served.0.try_borrow().ok()?.clone().into()));
    let mut event = served.unwrap_or_else(|| json!({"service": "storefront-worker"}));
    let count = COUNT.get().wrapping_add(1);
    COUNT.set(count);
    let id = event["request"]["id"].as_str().map_or_else(|| js_sys::Math::random().to_string(), str::to_owned);
    event["event_id"] = format!("{id}-{count}-{}", js_sys::Date::now()).into();
    event["ts"] = js_sys::Date::new_0().to_iso_string().as_string().into();
    event["handled"] = cfg!(panic = "unwind").into();
    let place = info.location();
    event["panic"] = json!({
        "message": message(info),
        "file": place.map(|place| place.file()),
        "line": place.map(|place| place.line()),
        "column": place.map(|place| place.column()),
    });
    let outcome = if cfg!(panic = "unwind") { "degraded" } else { "aborted" };
    event["recovery"] = json!({"outcome": outcome, "boundary": "wasm-bindgen"});
    let line = json!({"panic_event": event}).to_string();
    // As an object, not as text: a plain object arrives as JSON in the trace item.
    console::error_1(&JSON::parse(&line).unwrap_or(JsValue::NULL));
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let message = info.payload_as_str().unwrap_or("Box<dyn Any>");
    message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(message)
}
