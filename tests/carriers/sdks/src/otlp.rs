//! Logs and traces by the exporter of opentelemetry-otlp, as Protobuf and as JSON.

use std::fs;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;

/// An HTTP client that keeps what it is to send.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Vec<Bytes>>>);

#[async_trait::async_trait]
impl HttpClient for Capture {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.lock().expect("no poison").push(request.into_body());
        Ok(Response::new(Bytes::new()))
    }
}

pub fn capture(folder: &Path) {
    fs::create_dir_all(folder).expect("the folder is made");
    for (protocol, ending) in [(Protocol::HttpJson, "json"), (Protocol::HttpBinary, "pb")] {
        let (logs, traces) = (Capture::default(), Capture::default());
        run(protocol, &logs, &traces);
        for (name, capture) in [("logs", logs), ("traces", traces)] {
            let requests = capture.0.lock().expect("no poison");
            assert_eq!(requests.len(), 1, "everything goes into one request");
            fs::write(folder.join(format!("{name}.{ending}")), &requests[0]).expect("the file is written");
        }
    }
}

fn resource() -> Resource {
    Resource::builder()
        .with_service_name("checkout")
        .with_attributes([
            KeyValue::new("service.version", "4.2.0"),
            KeyValue::new("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
            KeyValue::new("host.name", "node-7"),
            KeyValue::new("deployment.environment.name", "production"),
            KeyValue::new("cloud.region", "eu-west-1"),
        ])
        .build()
}

fn run(protocol: Protocol, logs: &Capture, traces: &Capture) {
    let exporter = LogExporter::builder().with_http().with_protocol(protocol).with_http_client(logs.clone());
    let exporter = exporter.with_endpoint("http://127.0.0.1:4318/v1/logs").build().expect("an exporter");
    let loggers = SdkLoggerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
    let exporter = SpanExporter::builder().with_http().with_protocol(protocol).with_http_client(traces.clone());
    let exporter = exporter.with_endpoint("http://127.0.0.1:4318/v1/traces").build().expect("an exporter");
    let tracers = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
    let tracer = tracers.tracer("checkout");
    let subscriber = tracing_subscriber::registry().with(OpenTelemetryTracingBridge::new(&loggers));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("the service is up");
        std::panic::set_hook(Box::new(semantic_hook));
        request(&tracer, "/v1/orders", || crate::faults::index(&[1, 2, 3], 9));
        std::panic::set_hook(Box::new(plain_hook));
        request(&tracer, "/v1/items", || crate::faults::parse("x300"));
        std::panic::set_hook(Box::new(tracing_panic::panic_hook));
        request(&tracer, "/v1/carts", || crate::faults::index(&[], 0));
        tracing::error!("exception.message" = "connection reset by peer", "exception.type" = "io::Error", "no panic");
    });
    drop(std::panic::take_hook());
    loggers.shutdown().expect("the logs are sent");
    tracers.shutdown().expect("the traces are sent");
}

/// A request in a server's span; its panic is caught, and answered with 500.
fn request(tracer: &opentelemetry_sdk::trace::SdkTracer, path: &'static str, work: impl FnOnce() -> u8) {
    let span = tracer
        .span_builder(format!("POST {path}"))
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("url.path", path),
            KeyValue::new("url.query", "page=2&q=a%20b"),
            KeyValue::new("http.route", path),
            KeyValue::new("client.address", "203.0.113.7"),
            KeyValue::new("network.peer.address", "10.0.0.9"),
            KeyValue::new("user_agent.original", "curl/8.5.0"),
            KeyValue::new("http.request.body.size", 14),
            KeyValue::new("http.request.header.content-type", header("application/json")),
            KeyValue::new("http.request.header.idempotency-key", header("\"8e03978e\"")),
            KeyValue::new("panicsift.request.payload", "{\"at\": 9}"),
            KeyValue::new("panicsift.token.scope", "orders:read orders:write"),
            KeyValue::new("panicsift.token.id_hash", "3c9e"),
        ])
        .start(tracer);
    let context = Context::current_with_span(span);
    let _attached = context.clone().attach();
    drop(catch_unwind(AssertUnwindSafe(work)));
    let span = context.span();
    span.set_attribute(KeyValue::new("http.response.status_code", 500));
    span.set_status(Status::error("panicked"));
    span.end();
}

fn header(value: &'static str) -> Value {
    Value::Array(Array::String(vec![StringValue::from(value)]))
}

/// A hook in the words of the semantic conventions: a log record and a span event, both named `exception`.
fn semantic_hook(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("Box<dyn Any>");
    let (file, line, column) = info.location().map_or(("", 0, 0), |at| (at.file(), at.line(), at.column()));
    let stack = std::backtrace::Backtrace::force_capture().to_string();
    tracing::error!(
        name: "exception",
        {
            "exception.type" = "panic",
            "exception.message" = message,
            "exception.stacktrace" = stack.as_str(),
            "code.file.path" = file,
            "code.line.number" = line,
            "code.column.number" = column,
        },
        "the request panicked"
    );
    let attributes = vec![
        KeyValue::new("exception.type", "panic"),
        KeyValue::new("exception.message", message.to_owned()),
        KeyValue::new("exception.stacktrace", format!("{info}\nstack backtrace:\n{stack}")),
    ];
    Context::current().span().add_event("exception", attributes);
}

/// A hook that only logs the panic's own text.
fn plain_hook(info: &PanicHookInfo<'_>) {
    tracing::error!("{info}");
}
