//! The OpenTelemetry Collector with `deploy/producers/otel-collector/config.yaml`: what it is sent over OTLP, and what of
//! it is in the topic. `PANICSIFT_TEST_OTELCOL=FILE` names the program (see `builder.yaml` beside the configuration); it
//! takes minutes to build, so its absence is no failure anywhere.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::{Value, json};

use crate::support::kafka::{Stored, create_topic, read_back, unique};
use crate::support::servers::{free_port, live_address, say};

/// Longest wait for the collector to begin, and for its records.
const N_LOOKS: u32 = 600;
const LOOK: Duration = Duration::from_millis(50);

/// The collector as a process; killed when the value is dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn text(value: &str) -> Value {
    json!({"stringValue": value})
}

fn logs() -> Value {
    let exception = json!([
        {"key": "exception.type", "value": text("panic")},
        {"key": "exception.message", "value": text("attempt to divide by zero")},
    ]);
    let record = |body: &str, attributes: &Value| json!({"timeUnixNano": "1795330796612000000", "severityNumber": 17, "body": text(body), "attributes": attributes});
    let records = [
        record("a panic as an exception", &exception),
        record("thread 'main' (7) panicked at src/main.rs:2:5:", &json!([])),
        record("Service panicked: boom", &json!([])),
        record("an order was refused", &json!([])),
    ];
    let resource = json!({"attributes": [{"key": "service.name", "value": text("shop")}]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
}

fn traces() -> Value {
    let span = |name: &str, code: u32, events: &[&str]| {
        let event = |name: &&str| json!({"timeUnixNano": "1795330796612000000", "name": name});
        json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": name, "kind": 2,
            "startTimeUnixNano": "1795330796600000000", "endTimeUnixNano": "1795330796612000000",
            "status": {"code": code}, "events": events.iter().map(event).collect::<Vec<_>>(),
        })
    };
    let spans = [span("failed", 2, &["retry", "exception"]), span("well", 1, &[])];
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what there is")]
async fn live_collector_forwards_exceptions_and_nothing_else() {
    const NAME: &str = "live_collector_forwards_exceptions_and_nothing_else";
    let Some(program) = std::env::var_os("PANICSIFT_TEST_OTELCOL") else {
        say(&format!(
            "SKIPPED: {NAME} needs PANICSIFT_TEST_OTELCOL=FILE (deploy/producers/otel-collector/builder.yaml)"
        ));
        return;
    };
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let topic = unique("otlp");
    create_topic(&brokers, &topic, 1, &[]).await;
    let http = format!("127.0.0.1:{}", free_port());
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/producers/otel-collector/config.yaml");
    let child = Command::new(program)
        .arg("--config")
        .arg(config)
        .env("BROKERS", &brokers)
        .env("LISTEN_HTTP", &http)
        .env("LISTEN_GRPC", format!("127.0.0.1:{}", free_port()))
        .env("TOPIC_LOGS", &topic)
        .env("TOPIC_TRACES", &topic)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _collector = Collector(child.unwrap());

    // Another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, body) in [("logs", logs()), ("traces", traces())] {
        let post = || {
            let request = client.post(format!("http://{http}/v1/{path}")).header("content-type", "application/json");
            request.body(body.to_string()).send()
        };
        let mut answer = post().await;
        for _ in 0..N_LOOKS {
            if answer.is_ok() {
                break;
            }
            tokio::time::sleep(LOOK).await;
            answer = post().await;
        }
        assert_eq!(answer.unwrap().status(), 200);
    }
    let mut stored = Vec::new();
    for _ in 0..N_LOOKS {
        stored = read_back(&brokers, &topic);
        if stored.len() == 2 {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    assert_records(&stored);
}

fn assert_records(stored: &[Stored]) {
    assert_eq!(stored.len(), 2, "{stored:?}");
    let mut names = Vec::new();
    for Stored { value, headers, .. } in stored {
        assert_eq!(headers["panicsift-carrier"], "otlp");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        // The two requests have one form on the wire: which it is shows in what a record of it has.
        let logs = ExportLogsServiceRequest::decode(value.as_slice()).unwrap_or_default();
        let records = logs.resource_logs.iter().flat_map(|one| &one.scope_logs).flat_map(|one| &one.log_records);
        names.extend(records.filter_map(|record| record.body.clone()).map(|body| format!("{:?}", body.value)));
        let traces = ExportTraceServiceRequest::decode(value.as_slice()).unwrap_or_default();
        let spans = traces.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans);
        for span in spans.filter(|span| span.trace_id.len() == 16) {
            let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
            names.push(format!("{} {events:?}", span.name));
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            r#"Some(StringValue("Service panicked: boom"))"#,
            r#"Some(StringValue("a panic as an exception"))"#,
            r#"Some(StringValue("thread 'main' (7) panicked at src/main.rs:2:5:"))"#,
            r#"failed ["exception"]"#,
        ]
    );
}
