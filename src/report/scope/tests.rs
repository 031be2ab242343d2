use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::ledger::RouteKey;
use crate::pipeline::operations::tally::Circumstances;
use crate::report::uncapped;

/// Panics of a service on a route, and requests that a feed told of this route (of a service, or of none).
struct Told {
    tenant: u64,
    minute: i64,
    panics: &'static [(u64, u64, u64)],
    requests: &'static [(Option<u64>, u64, u64)],
}

/// What a page of the ledger holds, in the order in which it is stored.
type Accounts = (BTreeMap<Account, Tally>, BTreeMap<Demand, u64>, u16);

/// Rows of a store.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn tally(n: u64) -> Tally {
    let mut tally = Tally::default();
    let circumstances = Circumstances { hostile: false, gate: Gate::Safe, link: Link::default(), poisoned: None };
    (0..n).for_each(|n| tally.add(&event(n, key(1, 1, 1, 1)), circumstances));
    tally
}

/// A state whose store has these pages, of all three lengths as the service writes them.
fn state(told: &[Told]) -> State {
    let mut pages: BTreeMap<(u64, Tier, Millis), Accounts> = BTreeMap::new();
    for one in told {
        for tier in Tier::ALL {
            let start = tier.start(Millis(one.minute * Millis::MINUTE));
            let page = pages.entry((one.tenant, tier, start)).or_default();
            for (service, route, n) in one.panics {
                let account = Account {
                    service: Some(id(*service)),
                    route: RouteKey::Named(id(*route)),
                    release: ReleaseKey::One(id(100 + route)),
                    boundary: None,
                };
                page.0.entry(account).or_default().merge(&tally(*n));
            }
            for (service, route, n) in one.requests {
                let release = ReleaseKey::One(id(100 + route));
                *page.1.entry(Demand { service: service.map(id), route: id(*route), release }).or_default() += n;
            }
        }
    }
    let own = |tenant: u64, key: &[u8]| [&id(tenant).0.to_be_bytes()[..], key].concat();
    let load = |kind: &str| -> Result<Rows, ()> {
        let page = |((tenant, tier, start), page): (&(u64, Tier, Millis), &_)| {
            (own(*tenant, &postcard::to_stdvec(&(tier, start)).unwrap()), postcard::to_stdvec(page).unwrap())
        };
        let names = [(1, "shop"), (2, "bank"), (101, "r1"), (8, "acme"), (9, "zeta")];
        let name =
            |tenant: u64, (n, text): (u64, &str)| (own(tenant, &id(n).0.to_be_bytes()), text.as_bytes().to_vec());
        Ok(match kind {
            "ledger" => pages.iter().map(page).collect(),
            "name" => [8, 9].iter().flat_map(|tenant| names.map(|known| name(*tenant, known))).collect(),
            _ => Vec::new(),
        })
    };
    let (state, n_unreadable) = State::restore(&uncapped().unwrap(), load).unwrap();
    assert_eq!(n_unreadable, 0);
    state
}

fn minutes(from: i64, to: i64) -> Span {
    Span { from: Millis(from * Millis::MINUTE), to: Millis(to * Millis::MINUTE), tier: Tier::FiveMinutes }
}

#[test]
fn requests_are_all_only_when_every_service_that_panics_has_some_in_each_page() {
    let page = |minute, panics, requests| Told { tenant: 8, minute, panics, requests };
    let check = |told: &[Told], service: Option<&str>, requests, gaps| {
        let state = state(told);
        let scope = Scope::of(&state, service).unwrap();
        let exposure = scope.exposure(minutes(0, 10));
        assert_eq!((exposure.millis, exposure.requests, exposure.gaps), (600_000, requests, gaps));
        assert_eq!(exposure.has_requests(), requests > 0 && gaps == 0);
    };
    let end = || page(1440, &[(1, 1, 1)], &[]);
    check(
        &[page(0, &[(1, 1, 3)], &[(Some(1), 1, 50)]), page(5, &[(1, 1, 2)], &[(Some(1), 7, 60)]), end()],
        None,
        110,
        0,
    );
    // A page without panics needs no requests; one with panics does.
    check(&[page(0, &[(1, 1, 3)], &[(Some(1), 1, 50)]), end()], None, 50, 0);
    check(&[page(0, &[(1, 1, 3)], &[(Some(1), 1, 50)]), page(5, &[(1, 1, 2)], &[]), end()], None, 50, 1);
    // Another service's requests are none of this one's.
    let two = || page(0, &[(1, 1, 3), (2, 2, 1)], &[(Some(1), 1, 50)]);
    check(&[two(), end()], None, 50, 1);
    check(&[two(), end()], Some("shop"), 50, 0);
    check(&[two(), end()], Some("bank"), 0, 1);
    // A feed that names no service means the one that has the route.
    check(&[page(0, &[(1, 1, 3), (2, 2, 1)], &[(None, 1, 50), (None, 2, 9)]), end()], Some("bank"), 9, 0);
    check(&[page(0, &[(1, 1, 3)], &[]), end()], None, 0, 1);
}

#[test]
fn a_ratio_is_per_request_or_by_time_and_says_which() {
    let exposure = |millis, requests, gaps| Exposure { millis, requests, gaps };
    let check = |now: Exposure, before: Exposure, estimate: f64, per| {
        let (ratio, found) = compare(20, &now, 10, &before);
        assert!((ratio.unwrap().estimate - estimate).abs() < 1e-12 && found == per, "{ratio:?} {found:?}");
    };
    check(exposure(100, 1_000, 0), exposure(100, 500, 0), 1.0, Per::Request);
    check(exposure(100, 1_000, 0), exposure(200, 500, 2), 4.0, Per::Time);
    check(exposure(100, 0, 0), exposure(100, 500, 0), 2.0, Per::Time);
    assert_eq!(compare(20, &exposure(0, 0, 0), 10, &exposure(100, 0, 0)), (None, Per::Time));
    assert_eq!(compare(0, &exposure(5, 0, 0), 0, &exposure(100, 0, 0)), (None, Per::Time));
}

#[test]
fn tenants_are_told_together_with_their_names() {
    let page = |tenant, minute, n: &'static [(u64, u64, u64)]| Told { tenant, minute, panics: n, requests: &[] };
    let state = state(&[page(8, 0, &[(1, 1, 3), (2, 2, 4)]), page(9, 60, &[(1, 1, 5)])]);
    let all = Scope::of(&state, None).unwrap();
    let names = |scope: &Scope<'_>| {
        let sums = scope.tallies(minutes(0, 1440), |part, account| Some(part.service(account.service)));
        sums.iter().map(|(name, tally)| (name.clone(), events(tally))).collect::<Vec<_>>()
    };
    let told = |name: &str, n: u64| (name.to_owned(), n);
    assert_eq!(names(&all), [told("acme/bank", 4), told("acme/shop", 3), told("zeta/shop", 5)]);
    assert_eq!(events(&all.total(minutes(0, 60))), 7);
    assert_eq!(names(&Scope::of(&state, Some("shop")).unwrap()), [told("acme/shop", 3), told("zeta/shop", 5)]);
    assert_eq!(names(&Scope::of(&state, Some("zeta/shop")).unwrap()), [told("zeta/shop", 5)]);
    let error = Scope::of(&state, Some("x")).err().unwrap().to_string();
    assert_eq!(error, "nothing is known of a service x; there are acme/bank, acme/shop, zeta/shop");
    assert!(Scope::of(&State::default(), None).err().unwrap().to_string().contains("no events"));
}
