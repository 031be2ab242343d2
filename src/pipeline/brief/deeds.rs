//! The title of a hostile cluster: who does what to which route, how much of it.
//!
//! `38 addresses of 4 networks send shapes that nobody else sends to POST /v1/orders: 240 events, 214 shapes, 3 sites in
//! 11 minutes`. What they do is said by the weightiest fact against the strongest suspect, in the words of [`DEEDS`]:
//! one entry for each fact of the judge, which a test holds. Facts about the company that a sender keeps come last,
//! since they say nothing of what it does. One line, at most [`TITLE_BYTES_MAX`] bytes.

use super::Case;
use crate::pipeline::alert::Portrait;
use crate::pipeline::neutral;
use crate::pipeline::portrait::{announced, plural};

/// Bytes of a title: what a syslog message has room for.
pub const TITLE_BYTES_MAX: usize = 400;
/// Bytes of a route in it, so that a long one does not push the numbers out.
const ROUTE_BYTES_MAX: usize = 160;

/// Who is said to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doer {
    /// Addresses, by what they do themselves.
    Sender,
    /// Tokens.
    Token,
    /// Addresses, by the company that they keep.
    Company,
}

/// A fact in the words of a title, before the route: for many and for one.
#[derive(Debug)]
struct Deed {
    fact: &'static str,
    doer: Doer,
    many: &'static str,
    one: &'static str,
}

const fn deed(fact: &'static str, doer: Doer, many: &'static str, one: &'static str) -> Deed {
    Deed { fact, doer, many, one }
}

use Doer::{Company, Sender, Token};

/// What is said for each fact of the judge.
const DEEDS: &[Deed] = &[
    deed("structure", Sender, "send shapes that nobody else sends to", "sends shapes that nobody else sends to"),
    deed("values", Sender, "put values that nobody else has into", "puts values that nobody else has into"),
    deed("marks", Sender, "put odd characters into", "puts odd characters into"),
    deed("syntax", Sender, "send bodies that break in their own way to", "sends bodies that break in their own way to"),
    deed("client", Sender, "bring clients that nobody else uses to", "brings a client that nobody else uses to"),
    deed("access", Sender, "show tokens as nobody else does on", "shows its token as nobody else does on"),
    deed(
        "sites",
        Sender,
        "reach panic sites that nobody else reaches on",
        "reaches panic sites that nobody else reaches on",
    ),
    deed("discovery_rate", Sender, "feel for the edges of", "feels for the edges of"),
    deed("variety", Sender, "send ever new kinds of request to", "sends ever new kinds of request to"),
    deed("breadth", Sender, "try route after route, most of all", "tries route after route, most of all"),
    deed("site_spread", Sender, "feel for panic sites of", "feels for panic sites of"),
    deed("token_clients", Token, "are used by several client programs on", "is used by several client programs on"),
    deed("token_first", Sender, "use tokens of their own oddly on", "uses a token of its own oddly on"),
    deed("refused_tokens", Sender, "try tokens that are refused on", "tries tokens that are refused on"),
    deed("reused_keys", Sender, "use idempotency keys again on", "uses idempotency keys again on"),
    deed("site_others", Company, "meet suspects at panic sites of", "meets suspects at panic sites of"),
    deed("cell_others", Company, "do what suspects do on", "does what suspects do on"),
    deed(
        "family_others",
        Company,
        "share a client program with suspects on",
        "shares a client program with suspects on",
    ),
    deed("network_others", Company, "share a network with suspects on", "shares a network with suspects on"),
    deed("relative", Sender, "are odder than all others on", "is odder than all others on"),
    deed("crowd", Company, "do what others do on", "does what others do on"),
    deed("age", Company, "do what has long been done on", "does what has long been done on"),
    deed("repeats", Sender, "send the same again and again to", "sends the same again and again to"),
    deed("retries", Sender, "retry requests to", "retries requests to"),
    deed("token_networks", Token, "are used from several networks on", "is used from several networks on"),
    deed("marked", Sender, "put odd characters into", "puts odd characters into"),
    deed("markings", Sender, "put odd characters into", "puts odd characters into"),
    deed("token_others", Company, "share a token with those who feel for", "shares a token with those who feel for"),
    deed("unrepeated", Sender, "never repeat what others repeat on", "never repeats what others repeat on"),
    deed("served", Company, "are served as others are on", "is served as others are on"),
    deed("rejected", Sender, "send what is rejected to", "sends what is rejected to"),
    deed("enumeration", Sender, "go along the numbers of", "goes along the numbers of"),
];

/// The title of a hostile cluster.
pub fn title(case: &Case<'_>) -> String {
    let Portrait { counts, .. } = case.portrait;
    let deed = lead(case.portrait);
    let (who, n_who) = match deed.map(|deed| deed.doer) {
        Some(Doer::Token) => tokens(case),
        _ => addresses(case.portrait),
    };
    let does = match deed {
        Some(deed) if n_who == 1 => deed.one,
        Some(deed) => deed.many,
        None => "on",
    };
    let route = case.portrait.routes.first().map_or("an unknown route", |route| route.name.as_str());
    let more = counts.routes.saturating_sub(1);
    let elsewhere = if more == 0 { String::new() } else { format!(" and {}", plural(more, "other route")) };
    let text = format!(
        "{who} {does} {}{elsewhere}: {}, {}, {} in {}{}",
        neutral::line(route, ROUTE_BYTES_MAX),
        plural(counts.events, "event"),
        plural(counts.shapes, "shape"),
        plural(counts.sites, "site"),
        plural(case.minutes, "minute"),
        announced(&case.portrait.expected),
    );
    neutral::line(&text, TITLE_BYTES_MAX).into_owned()
}

/// The weightiest fact against it: what it does itself, else the company it keeps.
fn lead(portrait: &Portrait) -> Option<&'static Deed> {
    let told = || portrait.evidence.iter().filter_map(|line| DEEDS.iter().find(|deed| deed.fact == line.name));
    told().find(|deed| deed.doer != Doer::Company).or_else(|| told().next())
}

/// Whether this fact is the weightiest one against it.
pub(super) fn leads(portrait: &Portrait, fact: &str) -> bool {
    lead(portrait).is_some_and(|deed| deed.fact == fact)
}

fn addresses(portrait: &Portrait) -> (String, u64) {
    let n = portrait.counts.addresses;
    let networks = if portrait.networks.len() > 1 {
        format!(" of {}", plural(portrait.networks.len() as u64, "network"))
    } else {
        String::new()
    };
    // Where no event told its address there is still somebody.
    if n == 0 { (format!("unknown senders{networks}"), 2) } else { (format!("{}{networks}", plural(n, "address")), n) }
}

fn tokens(case: &Case<'_>) -> (String, u64) {
    let n = case.tokens.max(1);
    let n_networks = case.portrait.networks.len() as u64;
    let from =
        if n_networks > 1 { plural(n_networks, "network") } else { plural(case.portrait.counts.addresses, "address") };
    (format!("{} from {from}", plural(n, "token")), n)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pipeline::alert::{Counted, Counts, Evidence, NetworkCount};
    use crate::pipeline::judge::evidence::FACTS;

    fn line(name: &str, points: f64) -> Evidence {
        Evidence { name: name.to_owned(), points, words: String::new() }
    }

    fn portrait(evidence: &[&str], addresses: u64, networks: usize) -> Portrait {
        let network = NetworkCount { asn: None, organisation: None, events: 1 };
        Portrait {
            evidence: evidence.iter().map(|name| line(name, 1.0)).collect(),
            counts: Counts { events: 240, actors: 3, addresses, shapes: 214, sites: 3, routes: 1 },
            routes: vec![Counted { name: "POST /v1/orders".to_owned(), events: 240 }],
            networks: vec![network; networks],
            ..Portrait::default()
        }
    }

    fn titled(portrait: &Portrait, tokens: u64) -> String {
        title(&Case { portrait, lead: None, tokens, minutes: 11 })
    }

    #[test]
    fn every_fact_has_its_words_and_nothing_else_has() {
        let facts: Vec<&str> = FACTS.iter().map(|(name, _)| *name).collect();
        let told: BTreeSet<&str> = DEEDS.iter().map(|deed| deed.fact).collect();
        assert_eq!(told, facts.iter().copied().collect());
        assert_eq!(told.len(), DEEDS.len(), "no fact stands twice");
        for deed in DEEDS {
            for words in [deed.many, deed.one] {
                assert!(words.is_ascii() && words.len() < 60 && words.trim() == words && !words.is_empty(), "{words}");
            }
        }
    }

    #[test]
    fn the_title_says_who_does_what_where_and_how_much() {
        let check = |evidence: &[&str], addresses, networks, tokens, expected: &str| {
            let title = titled(&portrait(evidence, addresses, networks), tokens);
            assert_eq!(title, format!("{expected} POST /v1/orders: 240 events, 214 shapes, 3 sites in 11 minutes"));
        };
        check(&["structure"], 38, 4, 0, "38 addresses of 4 networks send shapes that nobody else sends to");
        check(&["structure"], 1, 1, 0, "1 address sends shapes that nobody else sends to");
        check(&["token_clients"], 8, 6, 1, "1 token from 6 networks is used by several client programs on");
        check(&["token_clients"], 8, 1, 3, "3 tokens from 8 addresses are used by several client programs on");
        check(&["token_clients"], 1, 0, 0, "1 token from 1 address is used by several client programs on");
        check(&["reused_keys"], 2, 0, 1, "2 addresses use idempotency keys again on");
        check(&["marks"], 0, 0, 0, "unknown senders put odd characters into");
        check(
            &["crowd", "company", "cell_points", "values"],
            2,
            0,
            0,
            "2 addresses put values that nobody else has into",
        );
        check(&["cell_points", "cell_others"], 2, 0, 0, "2 addresses do what suspects do on");
        check(&["prior", "company", "cap_novelty"], 2, 2, 0, "2 addresses of 2 networks on");
        check(&[], 2, 0, 0, "2 addresses on");
    }

    #[test]
    fn other_routes_and_announced_tests_are_told() {
        let mut portrait = portrait(&["breadth"], 2, 0);
        portrait.counts.routes = 12;
        portrait.expected = vec![Counted { name: "load test (SEC-7)".to_owned(), events: 4 }];
        let expected = "2 addresses try route after route, most of all POST /v1/orders and 11 other routes: 240 events, \
                        214 shapes, 3 sites in 11 minutes; 4 announced: load test (SEC-7)";
        assert_eq!(titled(&portrait, 0), expected);
    }

    #[test]
    fn a_hostile_route_stays_on_its_line_and_leaves_room_for_the_numbers() {
        let check = |route: &str| {
            let mut portrait = portrait(&["structure"], u64::MAX, 20);
            portrait.routes = vec![Counted { name: route.to_owned(), events: 1 }];
            let title = titled(&portrait, u64::MAX);
            assert!(title.len() <= TITLE_BYTES_MAX, "{}", title.len());
            assert!(title.chars().all(neutral::is_shown), "{title:?}");
            assert!(title.contains("214 shapes, 3 sites in 11 minutes"), "{title}");
        };
        check(&"é".repeat(1_000));
        check("GET /a\r\n\u{1b}[31m\u{202e}\u{2028}");
        check(&"\u{0}".repeat(1_000));
        check("");
    }

    #[test]
    fn a_portrait_without_anything_has_a_title_still() {
        let title = titled(&Portrait::default(), 0);
        assert_eq!(title, "unknown senders on an unknown route: 0 events, 0 shapes, 0 sites in 11 minutes");
    }
}
