use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

use super::*;

/// A fixed map that counts how often it is asked.
#[derive(Default)]
struct Fixed {
    networks: HashMap<IpAddr, Network>,
    asked: Mutex<Vec<IpAddr>>,
}

impl Lookup for Fixed {
    fn network(&self, address: IpAddr) -> Network {
        self.asked.lock().unwrap().push(address);
        self.networks.get(&address).cloned().unwrap_or_default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ask(lookup: &Fixed, text: &str) -> Source {
    source(&Keys::derive(b"test"), &mut Memo::new(10), lookup, Some(ip(text)))
}

#[test]
fn a_public_address_is_looked_up_once_and_remembered() {
    let mut lookup = Fixed::default();
    let network = Network { asn: Some(13335), organisation: Some("Cloudflare".into()), country: Some(*b"US") };
    lookup.networks.insert(ip("1.1.1.1"), network.clone());
    let (keys, mut memo) = (Keys::derive(b"test"), Memo::new(10));
    let first = source(&keys, &mut memo, &lookup, Some(ip("1.1.1.1")));
    let second = source(&keys, &mut memo, &lookup, Some(ip("::ffff:1.1.1.1")));
    assert_eq!((first.kind, &first.network), (AddressKind::Public, &network));
    assert_eq!(first, second);
    assert_eq!(lookup.asked.lock().unwrap().len(), 1);
}

#[test]
fn special_addresses_are_never_looked_up() {
    let lookup = Fixed::default();
    for special in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "198.19.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "192.88.99.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "2001::1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
        "::ffff:10.0.0.1",
        "2a06:98c0:3600::103",
    ] {
        assert_eq!(ask(&lookup, special).kind, AddressKind::Special, "{special}");
    }
    assert!(lookup.asked.lock().unwrap().is_empty());
    for public in [
        "100.63.255.255",
        "100.128.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "192.0.1.1",
        "2a06:98c0:3600::104",
        "2001:4860::1",
    ] {
        assert_eq!(ask(&lookup, public).kind, AddressKind::Public, "{public}");
    }
}

#[test]
fn what_a_carrier_says_of_the_network_counts_where_the_tables_are_silent() {
    let mut lookup = Fixed::default();
    let network = Network { asn: Some(13_335), organisation: Some("Cloudflare".into()), country: None };
    lookup.networks.insert(ip("1.1.1.1"), network);
    let (keys, mut memo) = (Keys::derive(b"test"), Memo::new(10));
    let mut facts = |address: Option<&str>, asn, country| {
        let client = Client { ip: address.map(ip), asn, country, ..Client::default() };
        let network = hinted(source(&keys, &mut memo, &lookup, client.ip), &client).network;
        (network.asn, network.country)
    };
    assert_eq!(facts(Some("1.1.1.1"), Some(64_500), Some(*b"NL")), (Some(13_335), Some(*b"NL")));
    assert_eq!(facts(Some("1.1.1.1"), None, None), (Some(13_335), None), "a hint ends with its event");
    assert_eq!(facts(Some("9.9.9.9"), Some(64_500), None), (Some(64_500), None));
    assert_eq!(facts(Some("9.9.9.9"), None, Some(*b"DE")), (None, Some(*b"DE")));
    assert_eq!(facts(None, Some(64_500), Some(*b"NL")), (Some(64_500), Some(*b"NL")));
    assert_eq!(facts(Some("2a06:98c0:3600::103"), Some(13_335), Some(*b"US")), (None, None));
}

#[test]
fn an_absent_address_has_no_ids() {
    let nobody = source(&Keys::derive(b"test"), &mut Memo::new(10), &Fixed::default(), None);
    assert_eq!((nobody.kind, nobody.address_id, nobody.prefix_id), (AddressKind::Absent, None, None));
}

#[test]
fn neighbours_share_a_prefix_and_strangers_do_not() {
    let lookup = Fixed::default();
    let ids = |text| (ask(&lookup, text).address_id, ask(&lookup, text).prefix_id);
    let (a, a_net) = ids("9.9.9.1");
    let (b, b_net) = ids("9.9.9.254");
    assert!(a != b && a_net == b_net);
    assert_ne!(a_net, ids("9.9.8.1").1);
    assert_eq!(ids("2a00:1:2:3::1").1, ids("2a00:1:2:ffff::9").1);
    assert_ne!(ids("2a00:1:2::1").1, ids("2a00:1:3::1").1);
    assert_ne!(ids("9.9.9.0").0, ids("9.9.9.0").1, "a network is not its first host");
}

static BUILTIN: std::sync::LazyLock<ScopeModel> = std::sync::LazyLock::new(|| ScopeModel::builtin().unwrap());

fn use_of(scopes: &[&str]) -> TokenUse {
    let facts = TokenFacts {
        id_hash: Some(Cow::Borrowed("3c9e35f612df94a6")),
        scopes: scopes.iter().map(|scope| Cow::Borrowed(*scope)).collect(),
        valid: Some(true),
    };
    token(&Keys::derive(b"test"), &BUILTIN, &mut Memo::new(10), &facts)
}

#[test]
fn scopes_are_a_sorted_set_and_the_highest_tier_counts() {
    let used = use_of(&["orders:write", "openid", "orders:write", "zebra", " "]);
    assert_eq!((used.tier, used.scopes.as_ref()), (ScopeTier::Write, "openid orders:write zebra"));
    assert_eq!(used.scopes, use_of(&["zebra", "openid", "orders:write"]).scopes);
    assert_eq!(use_of(&[]).tier, ScopeTier::None);
    assert_eq!((use_of(&["zebra"]).tier, use_of(&["zebra"]).scopes.as_ref()), (ScopeTier::Unknown, "zebra"));
    assert_eq!(use_of(&["zebra", "openid"]).tier, ScopeTier::Read, "what is known counts");
    assert!(!format!("{used:?}").contains("3c9e35f612df94a6"), "the producer's hash is not kept");
}

#[test]
fn a_name_with_spaces_is_one_name() {
    let used =
        use_of(&["Workers Scripts Write", "Access: Organizations, Identity Providers, and Groups Read", "DNS Read"]);
    let names = "Access: Organizations, Identity Providers, and Groups Read; DNS Read; Workers Scripts Write";
    assert_eq!((used.tier, used.scopes.as_ref()), (ScopeTier::Write, names));
}

#[test]
fn hostile_scopes_are_neutralised_and_bounded() {
    let used = use_of(&["a\u{1b}[2J\u{202e}b\nc"]);
    assert!(used.scopes.chars().all(|c| (' '..='~').contains(&c)), "{:?}", used.scopes);
    let many: Vec<String> = (0..5_000).map(|n| format!("scope-number-{n:05}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let used = use_of(&many);
    assert!(used.scopes.len() <= SCOPE_BYTES_MAX && used.scopes.split(' ').count() <= SCOPES_MAX);
    assert!(use_of(&[&"x".repeat(100_000)]).scopes.len() <= SCOPE_BYTES_MAX);
}

#[test]
fn every_fault_of_a_scope_model_is_named_at_once() {
    let faulty = "surplus = 1\n[[scope]]\ntier = \"none\"\nexact = [\"a\", \"A\"]\n[[scope]]\ntier = \"boss\"\nprefix = [\"\"]\nexakt = []\n";
    let places: Vec<String> = ScopeModel::parse(faulty).unwrap_err().faults.into_iter().map(|f| f.place).collect();
    for place in
        ["surplus", "version", "scope[0].tier", "scope[0].exact", "scope[1].tier", "scope[1].prefix", "scope[1].exakt"]
    {
        assert!(places.iter().any(|found| found == place), "{place} in {places:?}");
    }
    assert!(ScopeModel::parse("not toml").unwrap_err().to_string().contains("the whole text"));
}
