//! Announced tests: events that somebody said would come.
//!
//! Reads an [`Observation`] and the announcements of the configuration; gives the reason under which it was announced.
//! An expected event is counted in its cell like any other and shown with its reason, but the judge never hears of it:
//! it makes nobody a suspect, and what a test sends never becomes the normal of others. Whatever lies outside an
//! announcement (another time, route, service or sender) is judged as ever.
//!
//! Never: a wildcard for everyone. An announcement names senders and ends. Cost: one comparison an announcement for
//! each event; without announcements nothing.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::event::{Id, Millis};
use super::observation::{Observation, Source, TokenUse};

/// Most announcements in force: each event is held against each.
pub const ANNOUNCEMENTS_MAX: usize = 64;

/// One announced test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Why, and under which ticket; neutralised, shown in reports.
    pub reason: Arc<str>,
    /// Event time from which on it holds.
    pub from: Millis,
    /// Event time at which it ends.
    pub until: Millis,
    /// Networks that send.
    pub sources: Vec<IpNet>,
    /// Tokens that send, as keyed ids.
    pub tokens: Vec<Id>,
    /// Services that are tested; all when empty.
    pub services: Vec<String>,
    /// Routes that are tested, as reports show them; one that ends in `*` stands for all that begin so; all when empty.
    pub routes: Vec<String>,
}

/// All announcements of a deployment.
#[derive(Debug, Clone, Default)]
pub struct Expected(Vec<Announcement>);

impl Expected {
    /// The announcements in the order in which they are asked; those beyond [`ANNOUNCEMENTS_MAX`] are left out.
    pub fn new(mut announcements: Vec<Announcement>) -> Self {
        announcements.truncate(ANNOUNCEMENTS_MAX);
        Self(announcements)
    }

    /// The reason under which this event was announced, if it was; of several the first.
    pub fn reason(&self, event: &Observation<'_>) -> Option<Arc<str>> {
        let Observation { time, service, route, .. } = event;
        let (source, token) = (&event.source, event.token.as_ref());
        self.reason_of(&Sent { time: *time, source, token, service, route })
    }

    /// The same of anything that was sent.
    pub fn reason_of(&self, sent: &Sent<'_>) -> Option<Arc<str>> {
        self.0.iter().find(|announced| announced.covers(sent)).map(|announced| Arc::clone(&announced.reason))
    }
}

/// What an announcement asks of a request.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'s> {
    /// Event time.
    pub time: Millis,
    /// Where it came from.
    pub source: &'s Source,
    /// Token, if one was presented.
    pub token: Option<&'s TokenUse>,
    /// Service name.
    pub service: &'s str,
    /// Route, as reports show it.
    pub route: &'s str,
}

impl Announcement {
    /// Sender by address or token, and time, service and route: all must fit.
    fn covers(&self, sent: &Sent<'_>) -> bool {
        (self.from..self.until).contains(&sent.time)
            && (sent.source.address.is_some_and(|address| self.has_source(address))
                || sent.token.and_then(|token| token.id).is_some_and(|id| self.tokens.contains(&id)))
            && (self.services.is_empty() || self.services.iter().any(|service| service == sent.service))
            && (self.routes.is_empty() || self.routes.iter().any(|route| route_fits(route, sent.route)))
    }

    fn has_source(&self, address: IpAddr) -> bool {
        self.sources.iter().any(|network| network.contains(&address))
    }
}

/// Whether a route is the announced one, or begins with it where that ends in `*`.
pub(super) fn route_fits(announced: &str, route: &str) -> bool {
    announced.strip_suffix('*').map_or(announced == route, |begin| route.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::cell::testing::{event, id, key};

    fn announced() -> Announcement {
        Announcement {
            reason: "pentest (SEC-7)".into(),
            from: Millis(10_000),
            until: Millis(20_000),
            sources: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            tokens: vec![id(7)],
            services: vec![],
            routes: vec!["POST /v1/orders".to_owned(), "GET /v1/search*".to_owned()],
        }
    }

    /// An event from an address, with a token, on a route, at a time; whether `announced` covers it.
    #[track_caller]
    fn check(announced: Announcement, (address, token, route, at): (&str, u64, &'static str, i64), expected: bool) {
        let mut event = event(1, key(1, 1, 1, 1));
        event.source.address = address.parse().ok();
        let empty =
            TokenUse { id: None, valid: Some(true), tier: crate::pipeline::enrich::ScopeTier::None, scopes: "".into() };
        event.token = Some(TokenUse { id: Some(id(token)), ..empty });
        event.route = route.into();
        event.time = Millis(at);
        assert_eq!(Expected::new(vec![announced]).reason(&event).is_some(), expected);
    }

    #[test]
    fn an_announcement_covers_its_senders_on_its_routes_in_its_time_alone() {
        check(announced(), ("203.0.113.9", 1, "POST /v1/orders", 10_000), true);
        check(announced(), ("2001:db8::9", 1, "GET /v1/search/items", 19_999), true);
        check(announced(), ("198.51.100.1", 7, "POST /v1/orders", 15_000), true);
        check(announced(), ("198.51.100.1", 1, "POST /v1/orders", 15_000), false);
        check(announced(), ("203.0.113.9", 1, "POST /v1/orders/1", 15_000), false);
        check(announced(), ("203.0.113.9", 1, "DELETE /v1/orders", 15_000), false);
        check(announced(), ("203.0.113.9", 1, "POST /v1/orders", 9_999), false);
        check(announced(), ("203.0.113.9", 1, "POST /v1/orders", 20_000), false);
        check(announced(), ("nowhere", 1, "POST /v1/orders", 15_000), false);
        let elsewhere = Announcement { services: vec!["another".to_owned()], ..announced() };
        check(elsewhere, ("203.0.113.9", 1, "POST /v1/orders", 15_000), false);
    }
}
