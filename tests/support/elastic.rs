//! Real OpenSearch and Elasticsearch, prepared for a data stream.

use std::time::Duration;

use panicsift::edge::deliver::{HttpClient, HttpSettings, Login};
use panicsift::edge::elastic::{TemplateNames, install};

/// Days that test data would be kept, where a server has lifecycle policies.
const RETENTION_DAYS: u32 = 30;

/// How long a test beside this one may hold the node's circuit breaker, in tenths of a second.
const BREAKER_TRIES: usize = 300;

/// Installs what the stream needs, as `panicsift setup elastic` does. What a circuit breaker refuses is tried again: one
/// test makes it narrow, and it is the whole node's.
pub(crate) async fn prepare(url: &str, login: Login, http: &HttpSettings, stream: &str) {
    let client = HttpClient::new("setup", &[url.to_owned()], login, http).unwrap();
    for _ in 0..BREAKER_TRIES {
        match install(&client, &TemplateNames::of(stream), None, RETENTION_DAYS).await {
            Err(error) if format!("{error:?}").contains("circuit_breaking_exception") => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            done => return drop(done.unwrap()),
        }
    }
    panic!("{url}: the circuit breaker stayed narrow");
}
