//! A Worker whose handlers panic as careless ones do, and which says in one structured line what only it knows.
//!
//! The Tail Worker beside it (`tail.js`) forwards that line with its trace item. Build: `worker-build --release`, with
//! `--panic-unwind` where panics are to be survived within the instance.

mod panics;

use panics::Served;
use serde_json::Value;
use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    panics::install_hook();
    let served = Served::new("storefront-worker", &request);
    if let Ok(key) = env.secret("TOKEN_KEY") {
        identify(&served, &request, &key.to_string())?;
    }
    let work = handle(request, served.clone(), context);
    // `None` only where panics unwind; elsewhere the instance ends, and the platform answers.
    panics::recover(served, work).await.unwrap_or_else(|| Response::error("Internal Server Error", 500))
}

/// Stands for whatever checks tokens in your service: it alone knows who they belong to and what they may do.
fn identify(served: &Served, request: &Request, key: &str) -> Result<()> {
    let header = request.headers().get("authorization")?.unwrap_or_default();
    if let Some(token) = header.strip_prefix("Bearer ") {
        let key = blake3::derive_key("panic-events 2026 name of a token", key.as_bytes());
        let name = blake3::keyed_hash(&key, token.as_bytes()).to_hex().chars().take(16).collect();
        served.token(name, &["orders:read", "orders:write"]);
    }
    Ok(())
}

async fn handle(mut request: Request, served: Served, context: Context) -> Result<Response> {
    let path = request.path();
    match path.as_str() {
        "/v1/orders" => {
            let body = request.bytes().await?;
            served.payload(&body);
            // Trusts that a body is JSON and has what it should.
            let order: Value = serde_json::from_slice(&body).unwrap();
            served.side_effect("kv_put");
            Response::ok(format!("{} taken", order["items"][0]["quantity"].as_u64().expect("a quantity")))
        }
        "/v1/coupons" => {
            // What runs after the answer panics unseen by the client, with outcome `ok`: only the line tells of it.
            let late = panics::recover(served, async { serde_json::from_str::<Value>("{").unwrap() });
            context.wait_until(async { drop(late.await) });
            Response::ok("noted")
        }
        _ => match path.strip_prefix("/v1/products/").and_then(|number| number.parse::<usize>().ok()) {
            // Trusts that a number is one of the shop's.
            Some(number) => Response::ok(["chair", "table", "lamp"][number]),
            None => Response::error("Not Found", 404),
        },
    }
}
