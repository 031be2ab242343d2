//! The scripted HEC server, held to account by clients that others wrote for the real one.
//!
//! `PANICSIFT_TEST_CLIENTS` names the folder that `tests/servers/hec_clients.sh fetch DIR` prepared: splunk-logging is
//! Splunk's own library, splunk-hec-handler a logging handler of the Python world. Neither asks for acknowledgements;
//! what they check is paths, tokens, envelopes, replies and errors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::hec::{Event, HecServer, Rules, Token};
use crate::support::servers::live_folder;

/// A client: the command that runs it, and what its events look like.
struct Client {
    command: PathBuf,
    program: &'static str,
    folder: PathBuf,
    host: &'static str,
    source: &'static str,
    /// The body that it makes of event `n`.
    body: fn(usize) -> Value,
}

const TEXT: &str = r#"Zoë says "7 € \ 8""#;
const N_EVENTS: usize = 5;

fn clients(folder: &Path) -> [Client; 2] {
    [
        Client {
            command: folder.join("python/bin/python"),
            program: "hec_client.py",
            folder: folder.join("python"),
            host: "py.example",
            source: "a handler",
            body: |n| json!({"log_level": "INFO", "number": n, "text": TEXT}),
        },
        Client {
            command: "node".into(),
            program: "hec_client.js",
            folder: folder.join("node"),
            host: "js.example",
            source: "a logger",
            body: |n| json!({"message": {"number": n, "text": TEXT}, "severity": "info"}),
        },
    ]
}

impl Client {
    /// Sends the events; what the client was told, one line after the other.
    async fn send(&self, server: &HecServer, [token, index]: [&str; 2]) -> Vec<Value> {
        let url = server.url();
        let (host, port) = url.trim_start_matches("http://").split_once(':').unwrap();
        let program: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "servers", self.program].iter().collect();
        let mut command = Command::new(&self.command);
        command
            .arg(program)
            .args([host, port, token, index, "panicsift:alert", &N_EVENTS.to_string()])
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}: {told}{}", self.program, String::from_utf8_lossy(&output.stderr));
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn check(&self, event: &Event, n: usize) {
        let Event { token, index, envelope, .. } = event;
        assert_eq!((token.as_str(), index.as_str()), ("t0ken", "security"));
        assert_eq!(envelope["sourcetype"], "panicsift:alert");
        assert_eq!((&envelope["host"], &envelope["source"]), (&json!(self.host), &json!(self.source)));
        assert_eq!(envelope["event"], (self.body)(n));
        // One sends seconds as a number, the other as a text; Splunk takes both.
        let time = envelope["time"].as_f64().or_else(|| envelope["time"].as_str()?.parse().ok());
        assert!(time.is_some_and(|time| time > 1e9), "{envelope}");
    }
}

#[tokio::test]
async fn clients_of_the_real_splunk_believe_the_scripted_one() {
    const NAME: &str = "clients_of_the_real_splunk_believe_the_scripted_one";
    let Some(folder) = live_folder("PANICSIFT_TEST_CLIENTS", NAME, "tests/servers/hec_clients.sh fetch DIR") else {
        return;
    };
    for client in clients(&folder) {
        let token = Token { index: "main".to_owned(), indexes: vec!["security".to_owned()], ..Token::default() };
        let acked = Token { acks: true, ..token.clone() };
        let tokens = [("t0ken", token), ("acked", acked)].map(|(value, token)| (value.to_owned(), token)).into();
        let server = HecServer::start(Rules { tokens, ..Rules::default() }).await;
        let told = client.send(&server, ["t0ken", "security"]).await;
        assert!(!told.is_empty() && told.iter().all(|told| told["ok"] == true), "{told:?}");
        let events = server.index().events();
        assert_eq!(events.len(), N_EVENTS, "{}", client.program);
        for (n, event) in events.iter().enumerate() {
            client.check(event, n);
        }

        let wrong =
            [(["other", "security"], 403, 4), (["t0ken", "elsewhere"], 400, 7), (["acked", "security"], 400, 10)];
        for (access, status, code) in wrong {
            let told = client.send(&server, access).await;
            let is_error = |told: &Value| told["error"] == status || told["error"] == code;
            assert!(!told.is_empty() && told.iter().all(is_error), "{access:?}: {told:?}");
        }
        assert_eq!(server.index().events().len(), N_EVENTS, "nothing more was taken");
    }
}
