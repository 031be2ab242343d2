//! Attackers who know the source: what each trick costs them, and what still gets through.
//!
//! Each test adds one attacker to the same honest shop (150 customers with a token and a network of their own, three
//! routes that panic, half of the requests sent again as they were) and asks of every event what a replay says of it.
//! What is not held here is said in the test's own comment.

use std::collections::{BTreeMap, BTreeSet};

use panicsift::pipeline::event::Millis;
use serde_json::{Value, json};

use crate::support::replay::{Replayed, json_lines, replay};

/// When the shop opens.
const OPENS: Millis = Millis(1_789_372_800_000);
/// When the attacker comes: the normal of the shop is known by then.
const ATTACK: i64 = 2 * Millis::HOUR;
const CUSTOMERS: u64 = 150;

/// A request that panicked; what is not said is a customer's.
struct Sent {
    id: String,
    at: i64,
    ip: String,
    agent: &'static str,
    token: Option<String>,
    route: usize,
    body: String,
    attempt: u32,
    key: Option<String>,
}

const ROUTES: [(&str, &str, &str); 4] = [
    ("POST /v1/orders", "called `Option::unwrap()` on a `None` value", "shop::orders::total"),
    ("POST /v1/prices", "attempt to multiply with overflow", "shop::prices::quote"),
    (
        "POST /v1/search",
        "byte index 3 is not a char boundary; it is inside 'ü' (bytes 2..4) of `xx`",
        "shop::search::cut",
    ),
    ("GET /v1/orders/{id}", "no entry found for key", "shop::orders::get"),
];
/// The route whose body is the id at the end of its path.
const BY_ID: usize = 3;

impl Sent {
    fn json(&self) -> String {
        let (route, message, function) = ROUTES[self.route];
        let (method, path) = route.split_once(' ').unwrap();
        let mut event = json!({
            "event_id": self.id, "ts": OPENS.plus(self.at).to_string(), "service": "shop", "release": "1.0",
            "endpoint": route, "method": method, "path": path, "status": 500, "handled": true,
            "panic": {"message": message, "file": "src/shop.rs", "line": 8, "backtrace": [function, "rt::dispatch"]},
            "client": {"ip": self.ip, "user_agent": self.agent},
            "request": {
                "content_type": "application/json", "payload": self.body, "payload_encoding": "utf8",
                "payload_truncated": false, "attempt": self.attempt,
            },
            "retry": {"outcome": "not_retried"},
        });
        if let Some(token) = &self.token {
            event["token"] = json!({"id_hash": token, "scope": "orders:write", "valid": true});
        }
        if let Some(key) = &self.key {
            event["request"]["idempotency_key"] = json!(key);
        }
        if self.route == BY_ID {
            event["path"] = json!(path.replace("{id}", &self.body));
            event["request"] = json!({"content_length": 0, "attempt": self.attempt});
        }
        event.to_string()
    }
}

fn honest_body(route: usize, n: u64) -> String {
    match route {
        0 => {
            format!(r#"{{"items":[{{"sku":"KIT-{:04}","quantity":{}}}],"note":"gift {}"}}"#, n * 7 % 500, n % 5, n % 9)
        }
        1 => format!(r#"{{"quantity":{},"unit_price_cents":{}}}"#, 1_000 + n % 900, 100 + n * 37 % 9_000),
        _ => format!(r#"{{"q":"chair {}","page":{}}}"#, n % 60, n % 4),
    }
}

/// What customers send in `hours`: each second request is the one before, sent again.
fn shop(hours: i64) -> Vec<Sent> {
    shop_every(10 * Millis::SECOND, hours)
}

/// The same at another pace.
fn shop_every(pause: i64, hours: i64) -> Vec<Sent> {
    let n_events = u64::try_from(hours * Millis::HOUR / pause).unwrap();
    let request = |n: u64| {
        let (first, attempt) = (n / 2 * 2, u32::try_from(n % 2).unwrap() + 1);
        let customer = first / 2 * 17 % CUSTOMERS;
        let route = usize::try_from(first / 2 % 3).unwrap();
        Sent {
            id: format!("honest-{n}"),
            at: i64::try_from(n).unwrap() * pause,
            ip: format!("81.2.{customer}.{}", 1 + customer % 200),
            agent: if customer.is_multiple_of(3) { "ShopApp/3.1" } else { "Mozilla/5.0" },
            token: Some(format!("customer-{customer}")),
            route,
            body: honest_body(route, first),
            attempt,
            key: Some(format!("key-{}", first / 2)),
        }
    };
    (0..n_events).map(request).collect()
}

/// What somebody sends who feels for the edges: no two alike.
fn odd_body(n: u64) -> String {
    let odd = ["'||'", "${7*7}", "../../etc/passwd", "\\u0000", "<script>", "%c0%af", "0x7fffffff", "1e309"];
    let word = odd[usize::try_from(n).unwrap() % odd.len()];
    match n % 4 {
        0 => format!(r#"{{"items":{{"sku{n}":["{word}",-{n}]}},"note":{n}}}"#),
        1 => format!(r#"{{"quantity":"{word}{n}","k{n}":{{"a":[[[{n}]]]}}}}"#),
        2 => format!(r#"{{"q":"{word}{word}{n}","page":-{}}}"#, u64::MAX - n),
        _ => format!(r#"["{word}",{n},null,{{"x{n}":true}}]"#),
    }
}

/// The `n`-th request of a fuzzer without a token, at an address of its own.
fn fuzz(n: u64) -> Sent {
    Sent {
        id: format!("attack-{n}"),
        at: ATTACK + i64::try_from(n).unwrap() * 5 * Millis::SECOND,
        ip: "104.166.24.98".to_owned(),
        agent: "python-requests/2.31",
        token: None,
        route: usize::try_from(n % 3).unwrap(),
        body: odd_body(n),
        attempt: 1,
        key: None,
    }
}

/// What a replay says of all that was sent.
fn replayed(mut sent: Vec<Sent>) -> Replayed {
    sent.sort_by_key(|sent| sent.at);
    let lines: Vec<String> = sent.iter().map(Sent::json).collect();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), lines.join("\n")).unwrap();
    let replayed = replay(dir.path(), &["events.jsonl"], b"");
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    replayed
}

/// The first word of an event's id: whose it is.
fn group(event: &Value) -> String {
    event["event_id"].as_str().unwrap().split('-').next().unwrap().to_owned()
}

/// Share of the events whose id begins with each of the words that are held for hostile.
fn hostile_share(sent: Vec<Sent>) -> BTreeMap<String, f64> {
    let replayed = replayed(sent);
    let mut shares: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for event in json_lines(&replayed.assignments) {
        let (hostile, all) = shares.entry(group(&event)).or_default();
        *all += 1.0;
        *hostile += f64::from(u8::from(is_hostile(&event)));
    }
    shares.into_iter().map(|(group, (hostile, all))| (group, hostile / all)).collect()
}

fn is_hostile(event: &Value) -> bool {
    event["verdict"] == "hostile"
}

/// In a shop that is open for `hours`, more than this share of the attack is held for hostile, and nothing else.
#[track_caller]
fn check(attack: impl Iterator<Item = Sent>, hours: i64, attack_min: f64) {
    let shares = hostile_share(shop(hours).into_iter().chain(attack).collect());
    assert!(shares["attack"] > attack_min && shares["honest"] < 0.001, "{shares:?}");
}

#[test]
fn a_fuzzer_is_told_and_the_shop_is_not() {
    check((0..60).map(fuzz), 3, 0.9);
}

/// Costs an attacker nothing, and gains nothing: a retry is one only when the same content comes again.
#[test]
fn forged_attempts_and_keys_buy_no_defence() {
    let forged = |n| Sent { attempt: 3, key: Some(format!("mine-{n}")), ..fuzz(n) };
    check((0..60).map(forged), 3, 0.9);
}

/// An account of his own: a valid token that nobody used before speaks for its bearer, and is not enough.
#[test]
fn an_account_of_his_own_does_not_make_a_fuzzer_a_customer() {
    let registered = |n| Sent { token: Some("mallory".to_owned()), ..fuzz(n) };
    check((0..60).map(registered), 3, 0.9);
}

/// Sixty customers and a fuzzer behind one address: only the fuzzer is told.
#[test]
fn many_people_behind_one_address_are_not_one() {
    let mut sent = shop(3);
    for one in &mut sent {
        if one.token.as_deref().is_some_and(|token| token.len() <= "customer-60".len()) {
            "104.166.24.98".clone_into(&mut one.ip);
        }
    }
    let shares = hostile_share(sent.into_iter().chain((0..60).map(fuzz)).collect());
    assert!(shares["attack"] > 0.9 && shares["honest"] < 0.001, "{shares:?}");
}

/// A stolen token, used from another network with another program: judged from the theft on, apart from its owner.
#[test]
fn a_thief_is_told_from_the_owner_of_the_token() {
    let theft = |n| Sent { token: Some("customer-17".to_owned()), ..fuzz(n) };
    check((0..60).map(theft), 3, 0.9);
}

/// Bridges: each odd request is followed by one of the shop's own, word for word, so that its cells are the customers'.
/// The customers stay what they are. Half of the attacker's requests are then a stranger's, and it is told all the same.
#[test]
fn bridges_into_honest_cells_do_not_draw_customers_in() {
    let bridge = |n: u64| {
        let route = usize::try_from(n % 3).unwrap();
        let body = if n.is_multiple_of(2) { odd_body(n) } else { honest_body(route, 2 * n) };
        Sent { route, body, ..fuzz(n) }
    };
    check((0..120).map(bridge), 3, 0.4);
}

/// By whose events they hold: the hostile clusters. And how many alerts were opened.
fn alerted(sent: Vec<Sent>) -> (BTreeMap<String, BTreeSet<String>>, usize) {
    let replayed = replayed(sent);
    let mut clusters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in json_lines(&replayed.assignments).iter().filter(|event| is_hostile(event)) {
        clusters.entry(group(event)).or_default().insert(event["cluster"].as_str().unwrap().to_owned());
    }
    let opened = |alert: &&Value| alert["change"] == "opened" && alert["category"] == "hostile_input";
    (clusters, json_lines(&replayed.alerts).iter().filter(opened).count())
}

/// Whoever goes from route to route and from body to body is one alert; from twelve addresses of as many networks, with
/// five requests each, it is three at most.
#[test]
fn a_campaign_is_one_alert_whatever_it_touches() {
    let (clusters, opened) = alerted(shop(3).into_iter().chain((0..60).map(fuzz)).collect());
    assert_eq!((clusters["attack"].len(), clusters.len(), opened), (1, 1, 1), "{clusters:?}");
    let spread = (0..60).map(|n: u64| Sent { ip: format!("45.{}.{}.9", n % 12, n % 12 * 3), ..fuzz(n) });
    let (clusters, opened) = alerted(shop(3).into_iter().chain(spread).collect());
    assert!(clusters["attack"].len() <= 3 && clusters.len() == 1 && opened <= 3, "{opened} {clusters:?}");
}

/// Two who do not know of each other, at the same time on the same routes and panic sites: two alerts. A third who wants
/// to be taken for the first must use its program on its routes within the hour; then one alert tells of both, which hides
/// neither: the evidence says what ties them.
#[test]
fn strangers_at_one_panic_site_are_alerts_of_their_own() {
    let other = |n: u64, agent| Sent {
        id: format!("other-{n}"),
        ip: "45.9.27.9".to_owned(),
        agent,
        body: odd_body(n * 7 + 1_000),
        at: ATTACK + Millis::MINUTE + i64::try_from(n).unwrap() * 6 * Millis::SECOND,
        ..fuzz(n)
    };
    let both = |agent| shop(3).into_iter().chain((0..60).map(fuzz)).chain((0..60).map(|n| other(n, agent))).collect();
    let (clusters, opened) = alerted(both("curl/8.5"));
    assert!(clusters["attack"].is_disjoint(&clusters["other"]) && opened == 2, "{opened} {clusters:?}");
    let (clusters, opened) = alerted(both("python-requests/2.31"));
    assert!(
        clusters["attack"] == clusters["other"] && clusters["attack"].len() == 1 && opened <= 2,
        "{opened} {clusters:?}"
    );
}

/// A bridge of a rented address: an attacker sends from a customer's address, with the customer's program, what customers
/// send. The customer is not of its cluster: only who is suspect itself is joined.
#[test]
fn a_shared_address_and_program_draw_no_customer_into_an_alert() {
    let neighbour = |n: u64| {
        let body = if n.is_multiple_of(2) { odd_body(n) } else { honest_body(usize::try_from(n % 3).unwrap(), 2 * n) };
        Sent { body, ip: "81.2.3.4".to_owned(), agent: "ShopApp/3.1", ..fuzz(n) }
    };
    let (clusters, opened) = alerted(shop(3).into_iter().chain((0..120).map(neighbour)).collect());
    assert_eq!((clusters.len(), clusters["attack"].len(), opened), (1, 1, 1), "{clusters:?}");
}

/// What still gets through: another program at each address. Nothing that is looked at ties such addresses, so that one
/// campaign is told in pieces; from eleven within an hour on, a digest tells them.
#[test]
fn another_program_an_address_splits_a_campaign_and_the_digest_bounds_its_alerts() {
    const AGENTS: [&str; 16] = [
        "a/1", "b/1", "c/1", "d/1", "e/1", "f/1", "g/1", "h/1", "i/1", "j/1", "k/1", "l/1", "m/1", "n/1", "o/1", "p/1",
    ];
    let spread = (0..160).map(|n: u64| {
        let which = n % 16;
        let agent = AGENTS[usize::try_from(which).unwrap()];
        Sent { ip: format!("45.{which}.{}.9", which * 3), agent, ..fuzz(n) }
    });
    let (clusters, opened) = alerted(shop(3).into_iter().chain(spread).collect());
    assert!(clusters["attack"].len() > 8 && clusters.len() == 1 && opened <= 11, "{opened} {clusters:?}");
}

/// Six thousand senders that do nothing but what customers do, more than are remembered: no customer is held for hostile,
/// and a fuzzer that comes after them is told.
#[test]
fn a_flood_of_harmless_senders_hides_nobody() {
    let flood = (0..6_000_u64).map(|n| Sent {
        id: format!("flood-{n}"),
        at: ATTACK - Millis::HOUR + i64::try_from(n).unwrap() * 500,
        ip: format!("45.{}.{}.9", n / 250, n % 250),
        agent: "Mozilla/5.0",
        token: None,
        route: usize::try_from(n % 3).unwrap(),
        body: honest_body(usize::try_from(n % 3).unwrap(), n),
        attempt: 1,
        key: None,
    });
    let shares = hostile_share(shop(3).into_iter().chain(flood).chain((0..60).map(fuzz)).collect());
    assert!(shares["attack"] > 0.9 && shares["honest"] < 0.001 && shares["flood"] < 0.001, "{shares:?}");
}

/// A week of one odd request an hour from one address, so that what is odd becomes normal: one sender is one witness, and
/// nobody's own requests excuse it. Whoever brings four networks of his own, unsuspected, can make one thing normal.
#[test]
fn a_patient_poisoner_of_the_normal_is_one_witness() {
    const HOURS: i64 = 7 * 24;
    let patient = (0..HOURS).map(|n| Sent {
        id: format!("patient-{n}"),
        at: n * Millis::HOUR + Millis::MINUTE,
        ip: "104.166.24.98".to_owned(),
        ..fuzz(u64::try_from(n).unwrap())
    });
    let later = |n| {
        let sent = fuzz(n);
        Sent { at: sent.at + (HOURS - 1) * Millis::HOUR, ip: "100.50.20.32".to_owned(), ..sent }
    };
    let shop = shop_every(Millis::MINUTE, HOURS + 2);
    let shares = hostile_share(shop.into_iter().chain(patient).chain((0..60).map(later)).collect());
    assert!(shares["attack"] > 0.9 && shares["honest"] < 0.001, "{shares:?}");
}

/// Mimicry of honest retries: odd requests are sent again as they were, with their keys. It costs up to twice the requests.
/// One in three repeated hides nothing, and neither does all of it where two addresses share the work. What still gets
/// through: one address that sends every single request again, since that is what a customer's program does with what it
/// cannot get rid of. It stays below the threshold, whatever it sends.
#[test]
fn sending_odd_requests_again_hides_one_address_at_most() {
    let again = |n: u64| {
        let (odd, attempt) = (n / 2, u32::try_from(n % 2).unwrap() + 1);
        let (route, key) = (usize::try_from(odd % 3).unwrap(), Some(format!("mine-{odd}")));
        Sent { body: odd_body(odd), route, attempt, key, ..fuzz(n) }
    };
    let one_in_three = |n: u64| {
        if n % 4 < 2 { again(n) } else { fuzz(1_000 + n) }
    };
    let at = |n: u64| fuzz(n).at;
    check((0..120).map(|n| Sent { at: at(n), ..one_in_three(n) }), 3, 0.9);
    check((0..120).map(|n| Sent { ip: format!("45.{}.8.9", n / 2 % 2), ..again(n) }), 3, 0.9);
    let shares = hostile_share(shop(3).into_iter().chain((0..120).map(again)).collect());
    assert!(shares["attack"] < 0.1 && shares["honest"] < 0.001, "found now? then say so: {shares:?}");
}

/// One request an address, each of another network: a campaign is found by what its addresses do together. Other client
/// programs on top of it cost a little recall.
#[test]
fn a_campaign_of_one_request_an_address_is_found_together() {
    let spread = |n: u64| Sent { ip: format!("45.{n}.{}.9", n * 3), ..fuzz(n) };
    check((0..60).map(spread), 3, 0.8);
    let disguised = |n: u64| {
        let agent = if n.is_multiple_of(2) { "Mozilla/5.0" } else { "ShopApp/3.1" };
        Sent { agent, ..spread(n) }
    };
    check((0..60).map(disguised), 3, 0.7);
}

/// Guests look at the orders that they have just made, whose numbers are in a row, each at its own and twice. A botnet goes
/// along the numbers of others, four an address. What still gets through: whoever leaves sixteen numbers between two, or
/// half an hour between two requests, or shows an accepted token.
#[test]
fn a_walk_along_the_numbers_is_told_and_guests_with_orders_in_a_row_are_not() {
    let guests = (0..400_u64).map(|n| Sent {
        id: format!("guest-{n}"),
        at: i64::try_from(n).unwrap() * 25 * Millis::SECOND,
        ip: format!("90.{}.{}.7", n / 2 % 200, n / 400),
        agent: "Mozilla/5.0",
        route: BY_ID,
        body: format!("{}", 70_000 + n / 2),
        ..fuzz(n)
    });
    let walk = |stride: u64| {
        (0..240_u64).map(move |n| Sent {
            at: ATTACK + i64::try_from(n).unwrap() * 5 * Millis::SECOND,
            ip: format!("45.{}.8.9", n % 60),
            agent: if n.is_multiple_of(3) { "ShopApp/3.1" } else { "Mozilla/5.0" },
            route: BY_ID,
            body: format!("{}", 50_000 + stride * (n * 97 % 240)),
            ..fuzz(n)
        })
    };
    let shares = |stride| hostile_share(shop(3).into_iter().chain(guests.clone()).chain(walk(stride)).collect());
    let told = shares(1);
    assert!(told["attack"] > 0.7 && told["honest"] < 0.001 && told["guest"] < 0.001, "{told:?}");
    let not_told = shares(16);
    assert!(not_told["attack"] < 0.1 && not_told["guest"] < 0.001, "found now? then say so: {not_told:?}");
}

/// One request in twenty minutes, for twenty hours: nothing of what speaks against a sender fades by itself.
#[test]
fn patience_hides_nobody() {
    let slow = |n: u64| Sent { at: ATTACK + i64::try_from(n).unwrap() * 20 * Millis::MINUTE, ..fuzz(n) };
    check((0..60).map(slow), 24, 0.9);
}

/// What still gets through: one request an address, as customers send them but for one value of another kind, with the
/// customers' program and as slow as they are. It costs an address a request, and the knowledge of what is usual there.
#[test]
fn one_odd_value_an_address_in_a_customers_request_is_not_found() {
    let thin = |n: u64| {
        let body = honest_body(usize::try_from(n % 3).unwrap(), 2 * n).replacen(':', &format!(":{n}"), 1);
        let at = ATTACK + i64::try_from(n).unwrap() * 5 * Millis::MINUTE;
        Sent { body, at, ip: format!("45.{n}.{}.9", n * 3), agent: "Mozilla/5.0", ..fuzz(n) }
    };
    let shares = hostile_share(shop(8).into_iter().chain((0..60).map(thin)).collect());
    assert!(shares["attack"] < 0.1 && shares["honest"] < 0.001, "found now? then say so: {shares:?}");
}
