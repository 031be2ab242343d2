use std::time::Duration;

use super::*;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn open(asn: Option<&str>, country: Option<&str>) -> Tables {
    let (tables, errors) = Tables::open(asn.map(data).as_deref(), country.map(data).as_deref());
    assert_eq!(errors, []);
    tables
}

fn check(tables: &Tables, address: &str, asn: Option<u32>, organisation: Option<&str>, country: Option<&str>) {
    let network = tables.network(address.parse().unwrap());
    let country_found = network.country.map(|code| String::from_utf8(code.to_vec()).unwrap());
    assert_eq!(
        (network.asn, network.organisation.as_deref(), country_found.as_deref()),
        (asn, organisation, country),
        "{address}"
    );
}

#[test]
fn the_demo_tables_know_the_demo_addresses() {
    let tables = open(Some("demo/asn.mmdb"), Some("demo/country.mmdb"));
    let network = tables.network("47.252.157.24".parse().unwrap());
    assert_eq!(network.asn, Some(45102));
    assert!(network.organisation.is_some() && network.country.is_some());
    check(&tables, "127.0.0.1", None, None, None);
    assert!(tables.status().iter().all(|status| status.present && status.build_epoch > Some(1_600_000_000)));
}

#[test]
fn every_number_width_is_read() {
    let (u16, u64) = (open(Some("tables/asn-u16.mmdb"), None), open(Some("tables/asn-u64.mmdb"), None));
    check(&u16, "81.2.69.1", Some(20712), Some("Andrews & Arnold Ltd"), None);
    check(&u64, "81.2.69.1", Some(20712), Some("Andrews & Arnold Ltd"), None);
    // A number that no AS can have costs the number alone.
    check(&u64, "81.2.70.1", None, Some("no such number"), None);
}

#[test]
fn the_text_layout_is_read() {
    let tables = open(Some("tables/asn-text.mmdb"), Some("tables/country-text.mmdb"));
    check(&tables, "81.2.69.1", Some(20712), Some("Andrews & Arnold Ltd"), Some("GB"));
    check(&tables, "81.2.70.1", Some(64500), Some("Example Net"), Some("GB"));
    check(&tables, "81.2.71.1", None, None, None);
}

#[test]
fn the_nested_layout_is_read_over_ipv4_and_ipv6() {
    let tables = open(None, Some("tables/country-nested.mmdb"));
    check(&tables, "81.2.69.1", None, None, Some("GB"));
    check(&tables, "2a02:d300::1", None, None, Some("UA"));
    // Where it is registered is not where it is.
    check(&tables, "81.2.70.1", None, None, None);
}

#[test]
fn names_are_neutralised_bounded_and_kept_once() {
    let tables = open(Some("tables/asn-u16.mmdb"), None);
    check(&tables, "81.2.70.1", Some(20712), Some("evil\\u{202e}\\u{1b}[2J\\u{a}name"), None);
    let long = |host: &str| tables.network(host.parse().unwrap()).organisation.unwrap();
    assert!(long("81.2.71.1").len() <= ORGANISATION_BYTES_MAX);
    assert!(Arc::ptr_eq(&long("81.2.71.1"), &long("81.2.71.2")));
}

#[test]
fn a_text_file_is_a_named_error_and_an_absent_table() {
    let path = data("demo/README.md");
    let (tables, errors) = Tables::open(Some(&path), Some(&data("demo/country.mmdb")));
    assert!(matches!(errors.as_slice(), [TableError::Format { .. }]), "{errors:?}");
    assert!(errors[0].to_string().contains("README.md"));
    let [asn, country] = tables.status();
    assert!(!asn.present && asn.error.is_some() && country.present && country.error.is_none());
    assert!(tables.network("47.252.157.24".parse().unwrap()).country.is_some(), "the other table still answers");
}

#[test]
fn a_missing_file_and_a_table_of_another_kind_are_named() {
    let (_, errors) = Tables::open(Some(&data("none.mmdb")), Some(&data("tables/other.mmdb")));
    assert!(matches!(errors.as_slice(), [TableError::File { .. }, TableError::Fields { .. }]), "{errors:?}");
    let (_, errors) = Tables::open(Some(&data("demo/country.mmdb")), Some(&data("demo/asn.mmdb")));
    assert_eq!(errors.len(), 2, "tables given the wrong way round: {errors:?}");
}

#[test]
fn no_table_is_no_error() {
    let (tables, errors) = Tables::open(None, None);
    assert!(errors.is_empty() && tables.reload_if_changed().is_none());
    check(&tables, "1.1.1.1", None, None, None);
}

#[test]
fn damaged_tables_never_panic() {
    let whole = fs::read(data("tables/country-nested.mmdb")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.mmdb");
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, &damaged).unwrap();
        let (tables, _) = Tables::open(Some(&path), Some(&path));
        tables.network("81.2.69.1".parse().unwrap());
        fs::write(&path, &whole[..at]).unwrap();
        let (tables, _) = Tables::open(None, Some(&path));
        tables.network("2a02:d300::1".parse().unwrap());
    }
}

fn put(path: &Path, name: &str, age_secs: u64) {
    fs::write(path, fs::read(data(name)).unwrap()).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + age_secs)).unwrap();
}

#[test]
fn a_changed_file_is_loaded_beside_and_a_broken_one_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("asn.mmdb");
    put(&path, "tables/asn-u16.mmdb", 0);
    let (tables, errors) = Tables::open(Some(&path), None);
    assert!(errors.is_empty() && tables.reload_if_changed().is_none(), "nothing changed yet");

    put(&path, "demo/README.md", 1);
    assert!(matches!(tables.reload_if_changed(), Some(Err(TableError::Format { .. }))));
    assert!(tables.reload_if_changed().is_none(), "a broken file is tried once");
    check(&tables, "81.2.69.1", Some(20712), Some("Andrews & Arnold Ltd"), None);
    assert!(tables.status()[0].present && tables.status()[0].error.is_some());

    put(&path, "tables/asn-text.mmdb", 2);
    let newer = tables.reload_if_changed().unwrap().unwrap();
    check(&newer, "81.2.70.1", Some(64500), Some("Example Net"), None);
    assert!(newer.reload_if_changed().is_none() && newer.status()[0].error.is_none());

    fs::remove_file(&path).unwrap();
    assert!(matches!(newer.reload_if_changed(), Some(Err(TableError::File { .. }))));
    check(&newer, "81.2.70.1", Some(64500), Some("Example Net"), None);
}

#[test]
fn a_file_that_appears_later_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("asn.mmdb");
    let (tables, errors) = Tables::open(Some(&path), None);
    assert_eq!(errors.len(), 1);
    assert!(tables.reload_if_changed().is_none());
    put(&path, "tables/asn-text.mmdb", 0);
    assert!(tables.reload_if_changed().unwrap().is_ok());
}
