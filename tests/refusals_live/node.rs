//! A real server as its administrator sees it: templates, settings, users, and what it holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use panicsift::edge::deliver::{HttpSettings, Login};
use panicsift::edge::elastic::TemplateCheck;
use panicsift::secret::Credential;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::elastic;
use crate::support::kafka::unique;
use crate::support::servers::{live_address, live_folder};

/// A server and the data stream that a test has there.
pub(super) struct Node {
    client: reqwest::Client,
    pub(super) url: String,
    /// Name and password of the administrator.
    admin: Option<(&'static str, String)>,
    /// Trust in the server.
    http: HttpSettings,
    /// Name of the data stream.
    pub(super) stream: String,
}

/// How a lane writes to a stream.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) url: String,
    pub(super) stream: String,
    pub(super) login: Login,
    pub(super) http: HttpSettings,
    pub(super) check: TemplateCheck,
}

impl Way {
    /// The same without looking for the product's own template: the test has another one.
    pub(super) fn without_a_look(self) -> Self {
        Self { check: TemplateCheck::Off, ..self }
    }
}

impl Node {
    /// The one without security whose address is in this variable.
    pub(super) fn plain(variable: &str, test: &str) -> Option<Self> {
        live_address(variable, test).map(|url| Self::at(&url))
    }

    /// A node without security.
    pub(super) fn at(url: &str) -> Self {
        Self::new(url.to_owned(), None, HttpSettings::default())
    }

    /// The one with security whose folder is in this variable, and that folder.
    pub(super) fn secure(variable: &str, admin: &'static str, test: &str) -> Option<(Self, PathBuf)> {
        let maker = "tests/servers/{opensearch,elasticsearch}_secure.sh start DIR";
        live_folder(variable, test, maker).map(|folder| (Self::in_folder(&folder, admin), folder))
    }

    /// The node with security that its script started in `folder`.
    pub(super) fn in_folder(folder: &Path, admin: &'static str) -> Self {
        let admin = Some((admin, read(folder, "admin.password")));
        Self::new(read(folder, "address"), admin, trusting(folder, "ca.pem"))
    }

    fn new(url: String, admin: Option<(&'static str, String)>, http: HttpSettings) -> Self {
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        if let Some(ca) = &http.ca_file {
            let ca = std::fs::read(ca).unwrap();
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap());
        }
        // A data set of its own, so that its templates are nobody else's.
        let stream = format!("logs-panicsift.{}-live", unique("refusals").replace('-', "")).to_ascii_lowercase();
        Self { client: builder.build().unwrap(), url, admin, http, stream }
    }

    /// Installs what the stream needs, as `panicsift setup elastic` does.
    pub(super) async fn prepare(&self) {
        let login = self.admin.as_ref().map_or(Login::None, |(user, password)| basic(user, password));
        elastic::prepare(&self.url, login, &self.http, &self.stream).await;
    }

    /// Status and body of the answer to a request.
    pub(super) async fn try_ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}/{path}", self.url)).body(body.to_owned());
        if let Some((user, password)) = &self.admin {
            request = request.basic_auth(user, Some(password));
        }
        let reply = request.header("content-type", "application/json").send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The body of a good answer.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, said) = self.try_ask(method, path, &text).await;
        assert!((200..300).contains(&status), "{path}: {status} {said}");
        said
    }

    /// Installs another index template than the product's, with `more` over its mappings and settings.
    pub(super) async fn template(&self, more: Value) {
        let mut template = json!({
            "settings": {"number_of_replicas": 0},
            "mappings": {
                "dynamic": false,
                "properties": {"@timestamp": {"type": "date"}, "event": {"properties": {"id": {"type": "keyword"}}}}
            }
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            template[key] = value.clone();
        }
        let stream = &self.stream;
        let body = json!({"index_patterns": [stream], "data_stream": {}, "priority": 500, "template": template});
        self.ask(Method::PUT, &format!("_index_template/{stream}"), &body).await;
    }

    /// Changes settings of the stream's indices.
    pub(super) async fn set(&self, settings: &Value) {
        self.ask(Method::PUT, &format!("{}/_settings", self.stream), settings).await;
    }

    /// Changes settings of the cluster until it is started again.
    pub(super) async fn set_cluster(&self, settings: &Value) {
        self.ask(Method::PUT, "_cluster/settings", &json!({"transient": settings})).await;
    }

    /// Waits until the server is seen to be so.
    pub(super) async fn until<'a, F: Future<Output = bool>>(&'a self, is_so: impl Fn(&'a Self) -> F) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !is_so(self).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(waited.await.is_ok(), "the server never came to it");
    }

    /// Documents of the stream (`of` is the stream or another name for it): index and `event.id`, by the latter.
    pub(super) async fn documents(&self, of: &str) -> Vec<(String, String)> {
        self.ask(Method::POST, &format!("{of}/_refresh"), &Value::Null).await;
        let found = self.ask(Method::POST, &format!("{of}/_search"), &json!({"size": 5_000})).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let document = |hit: &Value| (text(&hit["_index"]), text(&hit["_source"]["event"]["id"]));
        let mut all: Vec<_> = found["hits"]["hits"].as_array().unwrap().iter().map(document).collect();
        all.sort_by(|one, other| one.1.cmp(&other.1));
        all
    }

    /// `event.id` of the documents in the stream, in order.
    pub(super) async fn ids(&self) -> Vec<String> {
        self.documents(&self.stream).await.into_iter().map(|(_, id)| id).collect()
    }

    /// How a lane with this login writes to the stream.
    pub(super) fn way(&self, login: Login, http: HttpSettings) -> Way {
        Way { url: self.url.clone(), stream: self.stream.clone(), login, http, check: TemplateCheck::Required }
    }

    /// The same where no login is needed.
    pub(super) fn open_way(&self) -> Way {
        self.way(Login::None, HttpSettings::default())
    }
}

/// A file of the folder, without its end of line.
pub(super) fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned()
}

/// User and password.
pub(super) fn basic(user: &str, password: &str) -> Login {
    Login::Basic { user: user.to_owned(), password: Credential::fixed(password) }
}

/// Trust in this authority of the folder.
pub(super) fn trusting(folder: &Path, ca: &str) -> HttpSettings {
    HttpSettings { ca_file: Some(folder.join(ca)), ..HttpSettings::default() }
}
