//! Elastic destinations against scripted servers: the look before the first write, and `setup` with its refusals.
//!
//! The server keeps what it is given and gives it back as the two products do: templates as captured from both, lifecycle
//! policies as documented, since neither product can be had with them. Real servers are in `elastic_live`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use panicsift::edge::deliver::{Fate, HttpClient, HttpSettings, Login, Outlet, Reading, Word};
use panicsift::edge::elastic::{ElasticOutlet, ElasticSettings, TemplateCheck};
use panicsift::pipeline::alert::Change;
use panicsift::secret::Credential;
use serde_json::{Value, json};

use crate::support::alert;
use crate::support::http::{Answer, Received, ScriptedServer};
use crate::support::tls;

const STREAM: &str = "logs-panicsift.alert-default";

/// Which product a scripted server plays.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plays {
    Elasticsearch,
    OpenSearch,
    /// Elasticsearch as its tests build it: no `GET /`, no lifecycle management.
    Bare,
}

/// What a scripted server holds: bodies by path, and how often each policy was written.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<BTreeMap<String, (Value, u64)>>>);

impl Held {
    fn answer(&self, plays: Plays, request: &Received) -> Answer {
        let (path, query) =
            request.path.trim_start_matches('/').split_once('?').unwrap_or((request.path.trim_start_matches('/'), ""));
        let reply = |status, body: Value| Answer::new(status, body.to_string());
        let no_handler = || reply(400, json!({"error": format!("no handler found for uri [/{path}]")}));
        match (plays, path) {
            (Plays::Bare, "") => return reply(405, json!({"error": "Incorrect HTTP method", "status": 405})),
            (Plays::Elasticsearch, "") => {
                return reply(200, json!({"version": {"number": "8.19.21", "build_flavor": "default"}}));
            }
            (Plays::OpenSearch, "") => {
                return reply(200, json!({"version": {"number": "2.19.4", "distribution": "opensearch"}}));
            }
            (_, "_nodes/_local/info") => {
                return reply(200, json!({"nodes": {"id": {"version": "8.19.21", "build_flavor": "default"}}}));
            }
            (Plays::Bare | Plays::OpenSearch, path) if path.starts_with("_ilm") => return no_handler(),
            (Plays::Bare | Plays::Elasticsearch, path) if path.starts_with("_plugins") => return no_handler(),
            (_, path) if path.starts_with("_resolve/") => {
                return reply(200, json!({"indices": [], "data_streams": []}));
            }
            _ => {}
        }
        let mut held = self.0.lock().unwrap();
        let name = path.rsplit('/').next().unwrap();
        match (request.method.as_str(), held.get(path).cloned()) {
            ("PUT", there) => {
                let times = there.map_or(0, |(_, times)| times);
                if path.starts_with("_plugins") && times > 0 && query != format!("if_seq_no={times}&if_primary_term=1")
                {
                    return reply(
                        409,
                        json!({"error": {"type": "version_conflict_engine_exception", "reason": query}}),
                    );
                }
                held.insert(path.to_owned(), (serde_json::from_str(&request.body).unwrap(), times + 1));
                reply(200, json!({"acknowledged": true}))
            }
            ("GET", _) if path == "_index_template" => {
                let listed = |(path, (body, _)): (&String, &(Value, u64))| {
                    let name = path.strip_prefix("_index_template/")?;
                    Some(json!({"name": name, "index_template": body}))
                };
                let listed: Vec<Value> = held.iter().filter_map(listed).collect();
                reply(200, if listed.is_empty() { json!({}) } else { json!({"index_templates": listed}) })
            }
            ("GET", None) => reply(404, json!({"error": {"type": "resource_not_found_exception"}, "status": 404})),
            ("GET", Some((body, times))) => {
                let kind = path.split('/').next().unwrap();
                reply(
                    200,
                    match kind {
                        "_component_template" => {
                            json!({"component_templates": [{"name": name, "component_template": body}]})
                        }
                        "_index_template" => json!({"index_templates": [{"name": name, "index_template": body}]}),
                        "_ilm" => {
                            json!({name: {"version": times, "modified_date": "2026-11-22", "policy": body["policy"]}})
                        }
                        _ => json!({"_id": name, "_seq_no": times, "_primary_term": 1, "policy": body["policy"]}),
                    },
                )
            }
            (method, _) => panic!("{method} {path}: nothing is deleted, nothing is asked otherwise"),
        }
    }

    fn put(&self, path: &str, body: Value) {
        self.0.lock().unwrap().insert(path.to_owned(), (body, 1));
    }
}

async fn start(plays: Plays) -> (ScriptedServer, Held) {
    let held = Held::default();
    let answers = held.clone();
    (ScriptedServer::start(move |_, request| answers.answer(plays, request)).await, held)
}

/// `panicsift setup elastic` with a destination at `url` and more keys for it.
fn setup(dir: &Path, url: &str, keys: &str, arguments: &[&str]) -> Output {
    let config = dir.join("config.toml");
    let text = format!(
        "[source]\nbrokers = [\"k:9092\"]\ntopics = [\"t\"]\n\
         [[destination]]\nkind = \"file\"\nname = \"local\"\npath = \"alerts\"\n\
         [[destination]]\nkind = \"elastic\"\nname = \"elastic\"\nurl = \"{url}\"\n{keys}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["setup", "elastic", "--config"]).arg(config).args(arguments).output().unwrap()
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    if code == 0 { out.into_owned() } else { err.into_owned() }
}

async fn check_install(plays: Plays, product: &str, n_parts: usize) {
    let (server, held) = start(plays).await;
    let dir = tempfile::tempdir().unwrap();
    let first = told(&setup(dir.path(), &server.url(), "", &[]), 0);
    assert!(first.starts_with(&format!("elastic: installed ({product}, data stream {STREAM})")), "{first}");
    assert_eq!(first.matches("  created ").count(), n_parts, "{first}");
    assert_eq!(held.0.lock().unwrap().len(), n_parts);
    let n_written = || server.received().iter().filter(|request| request.method == "PUT").count();
    let after_first = n_written();

    let second = told(&setup(dir.path(), &server.url(), "", &["--destination", "elastic"]), 0);
    assert!(second.starts_with("elastic: already current"), "{second}");
    assert_eq!(n_written(), after_first, "a second run writes nothing");

    let shorter = told(&setup(dir.path(), &server.url(), "retention_days = 30", &[]), 0);
    if plays == Plays::Bare {
        assert!(shorter.contains("has no lifecycle management"), "{shorter}");
        assert_eq!(n_written(), after_first);
    } else {
        assert!(shorter.contains("updated            lifecycle policy"), "{shorter}");
        assert_eq!(n_written(), after_first + 1, "the policy and nothing else: {shorter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_installs_what_is_missing_and_a_second_run_writes_nothing() {
    check_install(Plays::Elasticsearch, "Elasticsearch", 5).await;
    check_install(Plays::OpenSearch, "OpenSearch", 5).await;
    check_install(Plays::Bare, "Elasticsearch", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_leaves_alone_what_is_another_s_and_what_is_newer_and_fails_where_another_template_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (server, held) = start(Plays::Elasticsearch).await;
    held.put("_component_template/logs-panicsift.alert@mappings", json!({"template": {}, "version": 1}));
    let foreign = told(&setup(dir.path(), &server.url(), "", &[]), 1);
    assert!(
        foreign.contains("component template logs-panicsift.alert@mappings exists and is not panicsift's"),
        "{foreign}"
    );

    let (server, held) = start(Plays::Elasticsearch).await;
    let newer = json!({"template": {}, "version": 99, "_meta": {"managed_by": "panicsift"}});
    held.put("_component_template/logs-panicsift.alert@mappings", newer.clone());
    let left = told(&setup(dir.path(), &server.url(), "", &[]), 0);
    assert!(left.contains("newer, left alone  component template logs-panicsift.alert@mappings"), "{left}");
    assert_eq!(held.0.lock().unwrap()["_component_template/logs-panicsift.alert@mappings"].0, newer);

    held.put("_index_template/soc", json!({"index_patterns": ["logs-*"], "priority": 900, "data_stream": {}}));
    let outranked = told(&setup(dir.path(), &server.url(), "", &[]), 1);
    assert!(outranked.contains("index template soc (priority 900) takes"), "{outranked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_says_why_a_server_cannot_be_prepared() {
    let dir = tempfile::tempdir().unwrap();
    for (status, body, expected) in [
        (401, "Unauthorized", "the server does not accept the login"),
        (403, "{}", "the login may not do this"),
        (503, "OpenSearch Security not initialized.", "the server cannot be asked: HTTP 503"),
        (200, "<html>Please log in</html>", "does not look like Elasticsearch or OpenSearch"),
        (200, r#"{"version":{"distribution":"another"}}"#, "say which with --for"),
        (404, "", "does not look like Elasticsearch or OpenSearch"),
    ] {
        let server = ScriptedServer::start(move |_, _| Answer::new(status, body)).await;
        let error = told(&setup(dir.path(), &server.url(), "", &[]), 1);
        assert!(error.contains(expected) && error.contains("destination elastic"), "{error}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = told(&setup(dir.path(), &format!("http://{nobody}"), "", &[]), 1);
    assert!(error.contains("the server cannot be asked"), "{error}");
    let error = told(&setup(dir.path(), "http://x", "", &["--destination", "nobody"]), 1);
    assert!(error.contains("known here: local, elastic"), "{error}");
    let error = told(&setup(dir.path(), "http://x", "", &["--destination", "local"]), 1);
    assert!(error.contains("local is not of kind elastic"), "{error}");
    told(&setup(dir.path(), "x", "", &[]), 2);
    told(&setup(dir.path(), "http://x", "template_check = \"perhaps\"", &[]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_and_certificates_of_the_configuration_reach_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "c2VjcmV0\n").unwrap();
    for (keys, expected) in [
        ("api_key = { file = \"secret\" }", "ApiKey c2VjcmV0"),
        ("user = \"u\"\npassword = { file = \"secret\" }", "Basic dTpjMlZqY21WMA=="),
    ] {
        let (server, _) = start(Plays::OpenSearch).await;
        told(&setup(dir.path(), &server.url(), keys, &[]), 0);
        let received = server.received();
        assert!(received.len() > 10);
        assert!(received.iter().all(|request| request.headers["authorization"] == expected), "{received:?}");
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let ca = format!("ca_file = \"{}\"\n", data.join("ca.pem").display());
    let own = format!(
        "client_cert_file = \"{}\"\nclient_key_file = \"{}\"\n",
        data.join("client.pem").display(),
        data.join("client.key").display()
    );
    // The server behind TLS speaks another protocol: that its answer is not understood shows that it was reached.
    let reached = "does not look like Elasticsearch or OpenSearch: HTTP 200";
    let url = format!("https://{}", tls::start_mutual());
    let through = told(&setup(dir.path(), &url, &format!("{ca}{own}"), &[]), 1);
    assert!(through.contains(reached), "{through}");
    let without = told(&setup(dir.path(), &url, &ca, &[]), 1);
    assert!(without.contains("client_cert_file"), "{without}");
    let untrusted = told(&setup(dir.path(), &url, &own, &[]), 1);
    assert!(untrusted.contains("ca_file"), "{untrusted}");
}

#[test]
fn what_is_printed_needs_no_server_and_is_what_is_committed() {
    let print = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
        told(&command.args(["setup", "elastic", "--print"]).args(arguments).output().unwrap(), 0)
    };
    let mut both = String::new();
    for product in ["elasticsearch", "opensearch"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/elastic/{product}.console"));
        let printed = print(&["--for", product]);
        let committed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(printed, committed, "panicsift setup elastic --print --for {product} > {}", path.display());
        both.push_str(&printed);
    }
    assert_eq!(print(&[]), both);
    let dir = tempfile::tempdir().unwrap();
    let own = told(&setup(dir.path(), "http://x", "data_stream = \"logs-soc.panics-eu\"", &["--print"]), 0);
    assert!(own.contains("PUT _index_template/logs-soc.panics\n"), "{own}");
    assert!(!own.contains("logs-panicsift"), "{own}");
}

fn outlet(server: &ScriptedServer, check: TemplateCheck) -> ElasticOutlet {
    let key = Credential::fixed("a2V5");
    let login = Login::Token { scheme: "ApiKey", secret: key };
    let client = HttpClient::new("elastic", &[server.url()], login, &HttpSettings::default()).unwrap();
    ElasticOutlet::new("elastic", client, &ElasticSettings { data_stream: STREAM.to_owned() }, check)
}

/// Methods and paths without queries, in short: `look` for the template, `name` for the namesake, `bulk`.
fn asked(server: &ScriptedServer) -> Vec<&'static str> {
    let short = |request: Received| {
        assert_eq!(request.headers["authorization"], "ApiKey a2V5");
        match (request.method.as_str(), request.path.split('?').next().unwrap()) {
            ("GET", "/_index_template") => "look",
            ("GET", "/_resolve/index/logs-panicsift.alert-default") => "name",
            ("POST", "/_bulk") => "bulk",
            (method, path) => panic!("{method} {path}"),
        }
    };
    server.received().into_iter().map(short).collect()
}

const OURS: &str = r#"{"index_templates":[{"name":"logs-panicsift.alert","index_template":{
    "index_patterns":["logs-panicsift.alert-*"],"priority":250,"version":1,"_meta":{"managed_by":"panicsift"},
    "composed_of":["logs-panicsift.alert@mappings"],"data_stream":{"timestamp_field":{"name":"@timestamp"}}}}]}"#;

fn bulk(item: &str) -> Answer {
    Answer::new(200, format!(r#"{{"items":[{{"create":{item}}}]}}"#))
}

/// A server with our template, whose bulk answers are these, one after the other.
async fn prepared(answers: Vec<Answer>) -> ScriptedServer {
    let answers = Mutex::new(answers.into_iter());
    ScriptedServer::start(move |_, request| match request.path.split('?').next().unwrap() {
        "/_index_template" => Answer::new(200, OURS),
        "/_bulk" => answers.lock().unwrap().next().unwrap(),
        _ => Answer::new(404, "{}"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_looks_before_its_first_write_and_again_after_whatever_went_wrong() {
    let created = || bulk(r#"{"_index":".ds-x","_id":"a","_seq_no":1,"status":201}"#);
    let blocked = bulk(r#"{"_id":"a","status":403,"error":{"type":"cluster_block_exception","reason":"r"}}"#);
    let overloaded = bulk(r#"{"_id":"a","status":429,"error":{"type":"rejected_execution_exception","reason":"r"}}"#);
    let plain = bulk(r#"{"_index":"logs-panicsift.alert-default","_id":"a","_seq_no":0,"status":201}"#);
    let away = Answer::new(503, "");
    let server =
        prepared(vec![created(), created(), blocked, overloaded, created(), away, plain, created(), created()]).await;
    let mut outlet = outlet(&server, TemplateCheck::Required);
    let alerts = [alert("a", "c", Change::Opened)];
    let mut fates = Vec::new();
    for _ in 0..9 {
        if let Reading::Words(said) = outlet.send(&alerts).await
            && let [Word::Final(fate, _)] = said.as_slice()
        {
            fates.push(*fate);
        }
    }
    assert_eq!(
        asked(&server).join(" "),
        "look name bulk bulk bulk look name bulk bulk bulk look name bulk look name bulk bulk"
    );
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Degraded).count(), 1, "{fates:?}");
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Delivered).count(), 5, "{fates:?}");
}

async fn check_hold(templates: Answer, namesake: &'static str, expected: &str) {
    let server = ScriptedServer::start(move |_, request| match request.path.split('?').next().unwrap() {
        "/_index_template" => templates.clone(),
        "/_bulk" => panic!("written without a template"),
        _ => Answer::new(200, namesake),
    })
    .await;
    let mut outlet = outlet(&server, TemplateCheck::Required);
    for _ in 0..2 {
        let Reading::Hold { why } = outlet.send(&[alert("a", "c", Change::Opened)]).await else { panic!() };
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(asked(&server).iter().filter(|what| **what == "look").count(), 2, "each probe looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_before_the_server_is_prepared_and_the_words_say_what_to_do() {
    let mend = "mend it with: panicsift setup elastic --config FILE --destination elastic";
    check_hold(Answer::new(200, "{}"), "{}", mend).await;
    check_hold(Answer::new(403, r#"{"error":{"type":"security_exception"}}"#), "{}", "template_check = \"off\"").await;
    check_hold(Answer::new(401, "Unauthorized"), "{}", "the login is not accepted").await;
    check_hold(Answer::new(404, ""), "{}", "is this Elasticsearch or OpenSearch?").await;
    let index = r#"{"indices":[{"name":"logs-panicsift.alert-default"}],"data_streams":[]}"#;
    check_hold(Answer::new(200, OURS), index, "a plain index is called logs-panicsift.alert-default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_told_not_to_look_writes_at_once() {
    let server = prepared(vec![bulk(r#"{"_index":".ds-x","_id":"a","_seq_no":1,"status":201}"#)]).await;
    let reading = outlet(&server, TemplateCheck::Off).send(&[alert("a", "c", Change::Opened)]).await;
    let proof = Word::Final(Fate::Delivered, "_index=.ds-x _id=a _seq_no=1".to_owned());
    assert_eq!(reading, Reading::Words(vec![proof]));
    assert_eq!(asked(&server), ["bulk"]);
}
