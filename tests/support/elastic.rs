//! Real OpenSearch and Elasticsearch, prepared for a data stream.

use panicsift::edge::deliver::{HttpClient, HttpSettings, Login};
use panicsift::edge::elastic::{TemplateNames, install};

/// Days that test data would be kept, where a server has lifecycle policies.
const RETENTION_DAYS: u32 = 30;

/// Installs what the stream needs, as `panicsift setup elastic` does.
pub(crate) async fn prepare(url: &str, login: Login, http: &HttpSettings, stream: &str) {
    let client = HttpClient::new("setup", &[url.to_owned()], login, http).unwrap();
    install(&client, &TemplateNames::of(stream), None, RETENTION_DAYS).await.unwrap();
}
