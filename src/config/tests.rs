//! What a configuration file becomes, and what is said about a faulty one.

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../deploy/config.example.toml");
const LEAST: &str = "[source]\nbrokers = [\"k:9092\"]\ntopics = [\"events\"]\n";
const SECRET: &str = "canary-5f1c9d2e-never-shown";

fn environment_of_tests(name: &str) -> Option<String> {
    match name {
        "TOKEN" | "ELASTIC_API_KEY" | "OPENSEARCH_PASSWORD" => Some(format!("{SECRET}\n")),
        "EMPTY" => Some("\n".to_owned()),
        "SHORT" => Some("short".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Settings, ConfigFaults> {
    Settings::parse(text, Path::new("/nowhere"), &environment_of_tests)
}

/// The faults of a file that is sound but for `more`, one a line.
fn check(more: &str, expected: &[&str]) {
    let faults = parse(&format!("{LEAST}{more}")).map_or_else(|faults| faults.to_string(), |_| String::new());
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected, "for {more}");
}

fn destination(keys: &str) -> String {
    format!("[[destination]]\nname = \"d\"\n{keys}\n")
}

/// Every key path of the schema, without indices.
fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        keys(part, found);
    }
    for part in ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten() {
        keys(part, found);
    }
    for part in ["items", "additionalProperties"].map(|key| &schema[key]) {
        if part.is_object() {
            keys(part, found);
        }
    }
}

/// The example with every commented key and table put in force, but for alternatives that exclude each other.
fn example_in_force() -> String {
    let key_or_table = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        let bare = key.trim_matches('"').chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        line.starts_with('[') || (line.contains(" = ") && bare)
    };
    let lines = EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| key_or_table(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_valid_as_it_stands_and_holds_the_defaults() {
    let example = parse(EXAMPLE).unwrap();
    let mut least = parse(&LEAST.replace("\"k:9092\"", "\"kafka-1.example:9092\", \"kafka-2.example:9092\"")).unwrap();
    least.source.topics.clone_from(&example.source.topics);
    least.destinations.clone_from(&example.destinations);
    least.effective.clone_from(&example.effective);
    assert_eq!(example, least);
}

#[test]
fn the_example_with_all_comments_in_force_has_only_faults_of_files_that_are_not_here() {
    let faults = parse(&example_in_force()).unwrap_err().to_string();
    let expected = [
        "dead_letters.path: topic and path are both set",
        "dead_letters.recipients: recipients without raw = \"sealed\"",
        "destination[1].ca_file: there is no file",
        "destination[1].client_cert_file: there is no file",
        "destination[1].client_key_file: there is no file",
        "destination[1].token: the file",
        "destination[2].ca_file: there is no file",
        "destination[2].client_cert_file: there is no file",
        "destination[2].client_key_file: there is no file",
        "models.clustering: there is no file",
        "models.hostility: there is no file",
        "models.panics: there is no file",
        "models.replacements: there is no file",
        "models.scopes: there is no file",
        "privacy.key: the file",
        "source.librdkafka.\"sasl.password\": the file",
    ];
    assert_eq!(faults.lines().count(), expected.len(), "{faults}");
    for (line, start) in faults.lines().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn every_key_of_the_schema_occurs_in_the_example() {
    let mut all = BTreeSet::new();
    keys(&schema(), &mut all);
    assert!(all.len() > 60, "only {} keys were found: {all:?}", all.len());
    let absent: Vec<_> = all
        .iter()
        .filter(|key| {
            let written =
                [format!("{key} = "), format!("[{key}]"), format!(".{key}]"), format!(".{key}."), format!("[[{key}]]")];
            !EXAMPLE.lines().any(|line| written.iter().any(|form| line.contains(form)))
        })
        .collect();
    assert!(absent.is_empty(), "not in the example: {absent:?}");
}

#[test]
fn every_key_of_the_schema_is_explained() {
    fn explained(schema: &serde_json::Value, at: &str, bare: &mut Vec<String>) {
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            if part["description"].is_null() && part["const"].is_null() {
                bare.push(format!("{at}.{name}"));
            }
            explained(part, &format!("{at}.{name}"), bare);
        }
        for part in schema["items"]["oneOf"].as_array().into_iter().flatten() {
            explained(part, at, bare);
        }
    }
    let mut bare = Vec::new();
    explained(&schema(), "", &mut bare);
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn twelve_faults_of_form_and_meaning_give_twelve_lines_in_the_order_of_their_paths() {
    let text = "
flavour = 1
[source]
brokers = [\"kafka\"]
topic = [\"events\"]
batch_wait_ms = 0
[source.librdkafka]
\"enable.auto.commit\" = true
[tables]
check_secs = \"often\"
[[destination]]
name = \"a\"
kind = \"splunk\"
url = \"splunk:8088\"
token = \"canary-5f1c9d2e-never-shown\"
[[destination]]
name = \"b\"
kind = \"carrier-pigeon\"
[dead_letters]
share_max = 1.5
[log]
level = \"loud\"
";
    let faults = parse(text).unwrap_err().to_string();
    let expected = [
        "dead_letters.share_max: found a number 1.5; a number from 0.0 to 1.0 is expected",
        "destination[0].token: found a text; a secret is written { file = \"path\" } or { env = \"NAME\" }, never as plain text",
        "destination[0].url: found \"splunk:8088\"; http:// or https:// with a host is expected, such as https://siem.example:8088",
        "destination[1].kind: found a text \"carrier-pigeon\"; one of \"file\", \"splunk\", \"elastic\", \"kafka\"",
        "flavour: unknown key; known here: admin, alerts, cascade, clustering, dead_letters, destination, expected, idempotent, limits, log, models, privacy, rollback, slo, source, state, tables",
        "log.level: found a text \"loud\"; one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        "source.batch_wait_ms: found a number 0; a whole number from 1 to 60000 is expected",
        "source.brokers[0]: found \"kafka\"; host:port is expected",
        "source.librdkafka.\"enable.auto.commit\": this property cannot be set; offsets are committed only after the store's transaction",
        "source.topic: unknown key; did you mean \"topics\"?",
        "source.topics: missing; it is required: an array of 1 to 100 texts is expected",
        "tables.check_secs: found a text \"often\"; a whole number from 1 to 86400 is expected",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn faults_of_form_do_not_hide_faults_of_meaning() {
    check(
        "flavour = 1\n[admin]\nlisten = \"everywhere\"\n",
        &[
            "admin.listen: found \"everywhere\"; an address and a port are expected, such as 127.0.0.1:9464 or [::]:9464",
            "source.flavour: unknown key; known here: batch_bytes_max, batch_records_max, batch_wait_ms, brokers, feed, group, join_wait_secs, kind, librdkafka, offset_reset, on_gap, topics",
        ],
    );
}

#[test]
fn syntax_faults_have_line_and_column_and_do_not_show_the_line() {
    let faults = parse(&format!("{LEAST}[privacy]\nkey = \"{SECRET}\n")).unwrap_err().to_string();
    assert!(faults.starts_with("line 5, column "), "{faults}");
    assert!(!faults.contains(SECRET), "{faults}");
    assert_eq!(faults.lines().count(), 1);
    for deep in ["a.".repeat(200_000) + "a = 1", format!("[{}a]", "a.".repeat(200_000)), "{a=".repeat(100_000)] {
        assert!(parse(&deep).is_err());
    }
    for hostile in ["[", "a = ", "\u{0}", "\u{feff}\u{1b}", &"[".repeat(100_000), &"a.".repeat(100_000)] {
        assert!(parse(hostile).is_err());
    }
}

#[test]
fn an_empty_file_says_what_it_needs() {
    assert_eq!(parse("").unwrap_err().to_string(), "source: missing; it is required: a table is expected");
}

#[test]
fn secrets_are_read_cut_and_never_shown() {
    let file = tempfile::tempdir().unwrap();
    std::fs::write(file.path().join("token"), format!("{SECRET}\r\n")).unwrap();
    let text = format!(
        "{LEAST}[source.librdkafka]\n\"sasl.password\" = {{ env = \"TOKEN\" }}\n[privacy]\nkey = {{ file = \"token\" }}\n"
    );
    let settings = Settings::parse(&text, file.path(), &environment_of_tests).unwrap();
    assert_eq!(settings.privacy_key.as_ref().unwrap().expose(), SECRET);
    assert_eq!(settings.source.properties["sasl.password"].expose(), SECRET);
    let shown = format!("{settings:?}{}", settings.render_redacted());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(settings.render_redacted().contains("key = \"*** (from the file token)\""), "{shown}");
}

#[test]
fn a_secret_that_cannot_be_had_is_a_fault() {
    check(
        "[privacy]\nkey = { env = \"EMPTY\" }\n",
        &["privacy.key: the environment variable EMPTY is empty; put the secret there and nothing else"],
    );
    check(
        "[privacy]\nkey = { env = \"ABSENT\" }\n",
        &["privacy.key: the environment variable ABSENT cannot be read: it is not set; put the secret there"],
    );
    check(
        "[privacy]\nkey = { env = \"SHORT\" }\n",
        &["privacy.key: the key is too short; at least 16 bytes are needed"],
    );
    let forms = "a secret is written { file = \"path\" } or { env = \"NAME\" }, never as plain text";
    check("[privacy]\nkey = { env = \"A\", file = \"b\" }\n", &[&format!("privacy.key: found a table; {forms}")]);
    check("[privacy]\nkey = 12\n", &[&format!("privacy.key: found a number; {forms}")]);
    check(
        "[source.librdkafka]\n\"sasl.password\" = \"open\"\n",
        &[&format!("source.librdkafka.\"sasl.password\": found a secret as plain text; {forms}")],
    );
}

#[test]
fn properties_that_promises_rest_on_are_refused() {
    for (name, value) in [
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "true"),
        ("group.id", "\"g\""),
        ("bootstrap.servers", "\"k:1\""),
        ("auto.offset.reset", "\"latest\""),
    ] {
        let faults = parse(&format!("{LEAST}[source.librdkafka]\n\"{name}\" = {value}\n")).unwrap_err().to_string();
        assert!(
            faults.starts_with(&format!("source.librdkafka.\"{name}\": this property cannot be set; ")),
            "{faults}"
        );
    }
    let settings = parse(&format!("{LEAST}[source.librdkafka]\n\"fetch.wait.max.ms\" = 10\n\"a\" = true\n")).unwrap();
    assert_eq!(settings.source.properties["fetch.wait.max.ms"], PropertyValue::Plain("10".to_owned()));
    assert_eq!(settings.source.properties["a"].expose(), "true");
}

#[test]
fn a_poll_interval_below_the_batch_wait_is_refused() {
    check(
        "batch_wait_ms = 5000\n[source.librdkafka]\n\"max.poll.interval.ms\" = 6000\n",
        &["source.librdkafka.\"max.poll.interval.ms\": too short; at least twice batch_wait_ms, 10000 ms, is needed"],
    );
}

#[test]
fn destinations_are_told_apart_by_kind_and_name() {
    check(
        &destination(""),
        &["destination[0].kind: missing; it is required: one of \"file\", \"splunk\", \"elastic\", \"kafka\""],
    );
    check(
        &destination("kind = \"file\"\npath = \"a\"\nurl = \"x\""),
        &["destination[0].url: unknown key; known here: enterprise_number, format, kind, name, path, rotate_bytes"],
    );
    let two = destination("kind = \"file\"\npath = \"a\"") + &destination("kind = \"file\"\npath = \"a\"");
    check(
        &two,
        &[
            "destination[1].name: the name \"d\" stands twice; each name must be unique",
            "destination[1].path: d names the same file; each needs a file of its own",
        ],
    );
}

#[test]
fn addresses_of_destinations_are_checked_and_users_in_them_are_not_shown() {
    let expected = "http:// or https:// with a host is expected, such as https://siem.example:8088";
    let check_url = |url: &str, found: Option<&str>| {
        let lines: Vec<String> = found.into_iter().map(|found| format!("destination[0].url: {found}")).collect();
        let text = destination(&format!("kind = \"elastic\"\nurl = \"{url}\""));
        check(&text, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    };
    check_url("https://elastic.example:9200/prefix/", None);
    check_url("http://[::1]:9200", None);
    check_url("https://elastic.example", None);
    check_url("elastic.example", Some(&format!("found \"elastic.example\"; {expected}")));
    check_url("https://:9200", Some(&format!("found \"https://:9200\"; {expected}")));
    check_url("https://h:99999", Some(&format!("found \"https://h:99999\"; {expected}")));
    check_url("https://h/?q", Some(&format!("found a query, a fragment or a space; {expected}")));
    check_url("https://u:canary@h", Some("found a user inside the address; use the keys for tokens and passwords"));
}

#[test]
fn a_destination_has_one_address_or_several_that_differ() {
    let check_urls =
        |url: &str, faults: &[&str]| check(&destination(&format!("kind = \"elastic\"\nurl = {url}")), faults);
    check_urls("[\"https://a\"]", &[]);
    check_urls("[\"https://a\", \"https://b:9200\"]", &[]);
    let expected = "http:// or https:// with a host is expected, such as https://siem.example:8088";
    check_urls("[\"https://a\", \"b\"]", &[&format!("destination[0].url[1]: found \"b\"; {expected}")]);
    let twice = "destination[0].url[1]: this address stands twice; each address must be another one";
    check_urls("[\"https://a\", \"https://a/\"]", &[twice]);
    let form = "an address, or an array of 1 to 32 addresses, is expected";
    check_urls("[]", &[&format!("destination[0].url: found an empty array; {form}")]);
    check_urls("7", &[&format!("destination[0].url: found a number 7; {form}")]);
}

#[test]
fn keys_of_tls_need_tls_and_a_certificate_its_key() {
    let check_tls = |url: &str, keys: &str, fault: Option<&str>| {
        let text = destination(&format!("kind = \"elastic\"\nurl = \"{url}\"\n{keys}"));
        let line = fault.map(|fault| format!("destination[0].{fault}"));
        check(&text, &line.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let without = "an address without TLS is set; every address must begin with https://";
    check_tls("https://e", "server_name = \"elastic.example\"", None);
    check_tls("http://e", "server_name = \"elastic.example\"", Some(&format!("server_name: {without}")));
    let name = "a host name is expected, such as splunk.example";
    for wrong in ["10.0.0.1", "[::1]", "a b"] {
        let fault = format!("server_name: found \"{wrong}\"; {name}");
        check_tls("https://e", &format!("server_name = \"{wrong}\""), Some(&fault));
    }
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/client.pem");
    let pair = "missing; client_cert_file and client_key_file belong together";
    check_tls("https://e", &format!("client_cert_file = \"{pem}\""), Some(&format!("client_key_file: {pair}")));
    check_tls("https://e", &format!("client_key_file = \"{pem}\""), Some(&format!("client_cert_file: {pair}")));
    check_tls("https://e", &format!("client_cert_file = \"{pem}\"\nclient_key_file = \"{pem}\""), None);
}

#[test]
fn elastic_has_one_login_or_none() {
    let check_login = |keys: &str, fault: Option<&str>| {
        let text = destination(&format!("kind = \"elastic\"\nurl = \"https://e\"\n{keys}"));
        let line =
            fault.map(|fault| format!("destination[0].{fault}; use api_key, or user and password, or none of them"));
        check(&text, &line.iter().map(String::as_str).collect::<Vec<_>>());
    };
    check_login("", None);
    check_login("api_key = { env = \"TOKEN\" }", None);
    check_login("user = \"u\"\npassword = { env = \"TOKEN\" }", None);
    check_login("user = \"u\"", Some("password: missing"));
    check_login("password = { env = \"TOKEN\" }", Some("user: missing"));
    check_login("api_key = { env = \"TOKEN\" }\nuser = \"u\"", Some("api_key: two logins are set"));
}

#[test]
fn a_kafka_destination_without_brokers_takes_over_the_connection_of_the_source() {
    let text = format!(
        "{LEAST}[source.librdkafka]\n\"security.protocol\" = \"SSL\"\n\"fetch.wait.max.ms\" = 10\n{}",
        destination("kind = \"kafka\"\ntopic = \"alerts\"\nlibrdkafka = { \"linger.ms\" = 5 }")
    );
    let settings = parse(&text).unwrap();
    let DestinationKind::Kafka { brokers, properties, .. } = &settings.destinations[0].kind else {
        panic!("not Kafka")
    };
    assert_eq!(brokers, &["k:9092"]);
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["linger.ms", "security.protocol"]);
}

#[test]
fn a_format_is_one_that_its_destination_can_write() {
    let format = |keys: &str| match parse(&(LEAST.to_owned() + &destination(keys))).unwrap().destinations[0].kind {
        DestinationKind::File { format, .. } | DestinationKind::Kafka { format, .. } => format,
        ref other => panic!("{other:?}"),
    };
    let file = "kind = \"file\"\npath = \"a\"\n";
    let topic = "kind = \"kafka\"\ntopic = \"alerts\"\n";
    assert_eq!([format(file), format(topic)], [AlertFormat::Native; 2]);
    assert_eq!(format(&format!("{topic}format = \"ocsf\"")), AlertFormat::Ocsf);
    assert_eq!(format(&format!("{file}format = \"cef\"")), AlertFormat::Cef);
    let syslog = format!("{file}format = \"syslog\"\n");
    assert_eq!(format(&syslog), AlertFormat::Syslog { enterprise_number: 32_473 });
    assert_eq!(format(&format!("{syslog}enterprise_number = 9")), AlertFormat::Syslog { enterprise_number: 9 });
    check(
        &destination(&format!("{file}format = \"leef\"\nenterprise_number = 9")),
        &[
            "destination[0].enterprise_number: only the format \"syslog\" has such a number; take it away, or set the format",
        ],
    );
    check(
        &destination(&format!("{topic}format = \"cef\"")),
        &["destination[0].format: found a text \"cef\"; one of \"native\", \"ecs\", \"ocsf\""],
    );
}

#[test]
fn sealing_needs_recipients_and_recipients_need_sealing() {
    let none = "this is no X25519 recipient of age; it begins with age1, `age-keygen` makes one";
    check(
        "[dead_letters]\nraw = \"sealed\"\n",
        &["dead_letters.recipients: no recipient; raw = \"sealed\" needs whom bytes are sealed to"],
    );
    // A secret key by mistake is not repeated.
    check(
        "[dead_letters]\nraw = \"sealed\"\nrecipients = [\"AGE-SECRET-KEY-1HUNTER2\"]\n",
        &[&format!("dead_letters.recipients[0]: found a text of 23 bytes; {none}")],
    );
    let useless = "recipients without raw = \"sealed\"; nothing would be sealed: set raw, or remove them";
    check(
        "[dead_letters]\nrecipients = [\"age1\"]\n",
        &[
            &format!("dead_letters.recipients: {useless}"),
            &format!("dead_letters.recipients[0]: found a text of 4 bytes; {none}"),
        ],
    );
}

#[test]
fn topics_are_never_both_read_and_written() {
    let own = "refused records need a topic of their own";
    check(
        "[dead_letters]\ntopic = \"events\"\n",
        &[&format!("dead_letters.topic: \"events\" is also read as a source; {own}")],
    );
    check(
        &destination("kind = \"kafka\"\ntopic = \"events\""),
        &["destination[0].topic: \"events\" is also read as a source; alerts need a topic of their own"],
    );
    check(
        "[dead_letters]\ntopic = \"a b\"\n",
        &["dead_letters.topic: found \"a b\"; letters, digits, \".\", \"_\" and \"-\" are allowed in a topic"],
    );
}

#[test]
fn relations_between_keys_are_checked() {
    check(
        "[alerts]\ncooldown_secs = 600\nquiet_secs = 60\n",
        &["alerts.quiet_secs: found 60; at least cooldown_secs, 600, is needed, or an alert closes before it may grow"],
    );
    check(
        "[alerts]\nthreshold = nan\n",
        &["alerts.threshold: found a text \"NaN\"; a number from -100.0 to 100.0 is expected"],
    );
}

#[test]
fn a_budget_of_false_alerts_is_a_number_above_nothing() {
    let at = |value: &str| format!("[models]\nfalse_alerts_a_day = {value}\n");
    let expected = "a number from 0.001 to 10000.0 is expected";
    for (value, found) in
        [("0.0", "a number 0.0"), ("-1.0", "a number -1.0"), ("nan", "a text \"NaN\""), ("\"3\"", "a text \"3\"")]
    {
        check(&at(value), &[&format!("models.false_alerts_a_day: found {found}; {expected}")]);
    }
    let asked = |more: &str| parse(&format!("{LEAST}{more}")).unwrap().models.false_alerts_a_day.to_string();
    assert_eq!([asked(""), asked(&at("3")), asked(&at("2.5"))], ["1", "3", "2.5"]);
}

#[test]
fn an_address_table_that_is_not_there_is_a_warning() {
    let settings = parse(&format!("{LEAST}[tables]\nasn = \"asn.mmdb\"\n")).unwrap();
    assert_eq!(settings.warnings.len(), 1);
    assert!(
        settings.warnings[0].starts_with("tables.asn: there is no file /nowhere/asn.mmdb"),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn hostile_keys_are_shown_on_one_printable_line() {
    let faults = parse(&format!("{LEAST}\"\\u001b[31m\\n\" = 1\n")).unwrap_err().to_string();
    assert!(!faults.contains(['\u{1b}', '\n']), "{faults:?}");
}

#[test]
fn the_effective_configuration_can_be_read_again() {
    let settings = parse(&(LEAST.to_owned() + &destination("kind = \"file\"\npath = \"a.jsonl\""))).unwrap();
    let again = parse(settings.render_redacted()).unwrap();
    assert_eq!(settings, again);
}

#[test]
fn a_file_that_is_too_large_or_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Settings::load(&dir.path().join("absent.toml")).unwrap_err().to_string().contains("absent.toml"));
    let large = dir.path().join("large.toml");
    std::fs::write(&large, "#".repeat(2 * 1024 * 1024)).unwrap();
    assert!(Settings::load(&large).unwrap_err().to_string().contains("more than 1048576 bytes"));
}

#[test]
fn searches_in_alerts_name_the_first_destination_of_each_kind() {
    use crate::pipeline::brief::searches::Places;
    let places = |text: &str| parse(&format!("{LEAST}{text}")).unwrap().alerts.places;
    assert_eq!(places(""), Places::default());
    let destination = |kind: &str, name: &str, keys: &str| {
        format!("[[destination]]\nkind = \"{kind}\"\nname = \"{name}\"\nurl = \"https://x.example\"\n{keys}\n")
    };
    let token = "token = { env = \"TOKEN\" }";
    let all = [
        destination("elastic", "a", "data_stream = \"logs-soc.panics-eu\""),
        destination("splunk", "b", &format!("{token}\nindex = \"security\"")),
        destination("elastic", "c", "data_stream = \"other\""),
        destination("splunk", "d", &format!("{token}\nindex = \"other\"\nsourcetype = \"other\"")),
    ];
    let expected = Places {
        splunk_index: Some("security".to_owned()),
        splunk_sourcetype: "panicsift:alert".to_owned(),
        data_stream: "logs-soc.panics-eu".to_owned(),
    };
    assert_eq!(places(&all.concat()), expected);
}

#[test]
fn a_digest_begins_where_the_configuration_says() {
    let above = |text: &str| parse(&format!("{LEAST}{text}")).unwrap().alerts.digest_above;
    assert_eq!((above(""), above("[alerts]\ndigest_above = 0\n")), (None, Some(0)));
    check(
        "[alerts]\ndigest_above = 1001\n",
        &["alerts.digest_above: found a number 1001; a whole number from 0 to 1000 is expected"],
    );
}

#[test]
fn an_announcement_names_its_senders_and_ends() {
    let announced = |keys: &str| format!("[[expected]]\nreason = \"r\"\n{keys}\n");
    let sound = announced(
        "ticket = \"T-1\"\nfrom = \"2026-09-14T08:00:00+02:00\"\nuntil = \"2026-09-14T10:00:00Z\"\n\
         sources = [\"203.0.113.7\", \"2001:db8::/32\"]",
    );
    let settings = parse(&format!("{LEAST}{sound}")).unwrap();
    let test = settings.alerts.expected.first().unwrap();
    assert_eq!((test.reason.as_str(), test.until.since(test.from)), ("r (T-1)", 4 * 3_600_000));
    assert_eq!(test.sources.iter().map(ToString::to_string).collect::<Vec<_>>(), ["203.0.113.7/32", "2001:db8::/32"]);
    check(
        &announced("from = \"yesterday\"\nuntil = \"2026-09-14T10:00:00Z\"\nsources = [\"everyone\", \"0.0.0.0/0\"]"),
        &[
            "expected[0].from: found \"yesterday\"; a date and time with an offset is expected, such as \
             2026-09-14T08:00:00Z",
            "expected[0].sources[0]: found \"everyone\"; an address or a network is expected, such as 203.0.113.0/28 or \
             2001:db8::/48",
            "expected[0].sources[1]: found \"0.0.0.0/0\"; an address or a network is expected, such as 203.0.113.0/28 or \
             2001:db8::/48",
        ],
    );
    check(
        &announced("from = \"2026-09-14T10:00:00Z\"\nuntil = \"2026-09-14T10:00:00Z\""),
        &[
            "expected[0]: it names no sender; name sources or tokens: an announcement never holds for everyone",
            "expected[0].until: found 2026-09-14T10:00:00.000Z; a time after from, 2026-09-14T10:00:00.000Z, is needed",
        ],
    );
}

#[test]
fn what_is_said_of_retries_and_releases_is_read_or_refused_as_a_whole() {
    let settings = parse(&format!(
        "{LEAST}[cascade]\nwindow_minutes = 30\n[[idempotent]]\nservice = \"api\"\nroutes = [\"POST /v1/quote\"]\n\
         [[rollback]]\nmeasure = \"unhandled_share\"\nlimit = 0.2\nservices = [\"api\"]\n"
    ));
    let rules = settings.unwrap().alerts.operations;
    assert_eq!((rules.cascade.window_pages, rules.cascade.retries_min), (6, 50));
    assert_eq!(
        rules.rollback.iter().map(|rule| (rule.limit, rule.window_pages, rule.events_min)).collect::<Vec<_>>(),
        [(0.2, 6, 30)]
    );
    assert_ne!(rules.declared, crate::pipeline::operations::idempotent::Declared::default());
    let usual = parse(LEAST).unwrap().alerts.operations;
    assert_eq!(usual, Rules::default());
    check(
        "[cascade]\nwindow_minutes = 7\ngrowth = 0.5\n[[idempotent]]\nservice = \"api\"\n[[rollback]]\nmeasure = \"speed\"\n",
        &[
            "cascade.growth: found a number 0.5; a number from 1.0 to 1000.0 is expected",
            "cascade.window_minutes: found 7; a multiple of 5 is expected",
            "idempotent[0].routes: missing; it is required: an array of 1 to 100 texts is expected",
            "rollback[0].limit: missing; it is required: a number from 0.0 to 1000.0 is expected",
            "rollback[0].measure: found a text \"speed\"; one of \"amplification\", \"panic_share\", \"unhandled_share\", \
             \"recovery_share\"",
        ],
    );
    check(
        "[cascade]\nwindow_minutes = 7\n[[rollback]]\nmeasure = \"recovery_share\"\nlimit = 2\n\
         [[rollback]]\nmeasure = \"panic_share\"\nlimit = 0.5\n",
        &[
            "cascade.window_minutes: found 7; a multiple of 5 is expected",
            "rollback[0].limit: found 2; a share from 0 to 1 is expected",
            "rollback[1].limit: found 0.5; a multiple of at least 1 is expected: below it nothing has become worse",
        ],
    );
}
fn slo(keys: &str) -> String {
    format!("[[slo]]\nname = \"a\"\nservice = \"shop\"\nobjective = 0.99\n{keys}\n")
}

#[test]
fn an_objective_has_defaults_and_says_what_it_is_about() {
    let text = slo("")
        + "[[slo]]\nname = \"b\"\nservice = \"shop\"\nroutes = [\"POST /a\"]\nobjective = 0.9995\nwindow_days = 7\n\
                         counts = [\"real\", \"unknown\"]\nalert = false\n";
    let settings = parse(&format!("{LEAST}{text}")).unwrap();
    let [a, b] = settings.alerts.operations.slos.as_slice() else { panic!("{:?}", settings.alerts.operations.slos) };
    assert_eq!((a.budget_ppm, a.window_days, a.counts.len()), (10_000, 30, 1));
    assert_eq!(a.alarm.map(|rule| (rule.events_min, rule.limits)), Some((10, [None; 3])));
    assert_eq!((b.budget_ppm, b.window_days, b.counts.len(), b.alarm), (500, 7, 2, None));
    assert_eq!(settings, parse(settings.render_redacted()).unwrap());
    let warning =
        "slo[1]: it shares requests with \"a\"; a failure among them burns both budgets, and may be alerted twice";
    assert_eq!(settings.warnings, [warning]);
}

#[test]
fn objectives_that_cannot_be_or_contradict_each_other_are_refused_all_at_once() {
    let share = "a number above 0 and below 1 is expected: 1 leaves no budget, 0 no objective";
    for objective in ["1.0", "0", "-0.5", "99.9"] {
        let found = objective.trim_end_matches(".0");
        check(
            &format!("[[slo]]\nname = \"a\"\nservice = \"s\"\nobjective = {objective}\n"),
            &[&format!("slo[0].objective: found {found}; {share}")],
        );
    }
    check(
        "[[slo]]\nname = \"a\"\nservice = \"s\"\nobjective = 0.9999999\n",
        &["slo[0].objective: found 0.9999999; at most six decimals are expected, such as 0.9995"],
    );
    let route = "no route is called so: a method and a path are expected, such as POST /v1/orders";
    check(
        &slo(
            "window_days = 33\nroutes = [\"/v1/orders\", \"POST /a\", \"POST /a\", \"post /a\", \"GET \"]\nburn_1h = 0",
        ),
        &[
            "slo[0].burn_1h: found a number 0; a number from 0.1 to 1000000.0 is expected",
            &format!("slo[0].routes[0]: found \"/v1/orders\"; {route}"),
            "slo[0].routes[2]: \"POST /a\" stands twice; name each route once",
            &format!("slo[0].routes[3]: found \"post /a\"; {route}"),
            &format!("slo[0].routes[4]: found \"GET \"; {route}"),
            "slo[0].window_days: found a number 33; a whole number from 1 to 32 is expected",
        ],
    );
    check(
        &(slo("") + &slo("")),
        &[
            "slo[1].name: the name \"a\" stands twice; each name must be unique",
            "slo[1].objective: found 0.99, and slo[0] says 0.99 of the same requests; one objective for the same service, \
             routes, window and counts: keep one of them",
        ],
    );
    check(
        &(slo("routes = [\"GET /a\", \"GET /b\"]")
            + "[[slo]]\nname = \"b\"\nservice = \"shop\"\nroutes = [\"GET /b\", \"GET /a\"]\nobjective = 0.9\n"),
        &[
            "slo[1].objective: found 0.9, and slo[0] says 0.99 of the same requests; one objective for the same service, \
           routes, window and counts: keep one of them",
        ],
    );
    check(
        &slo("alert = false\nburn_6h = 3.0\ncounts = [\"real\", \"real\"]"),
        &[
            "slo[0].burn_6h: a limit of an alert that is off; remove it, or alert = false",
            "slo[0].counts[1]: \"real\" stands twice; name each once",
        ],
    );
    check(
        "[[slo]]\nname = \"a b\"\n",
        &[
            "slo[0].name: found \"a b\"; letters, digits, \"-\", \"_\" and \".\" are allowed in a name",
            "slo[0].objective: missing; it is required: a number is expected",
            "slo[0].service: missing; it is required: a text of 1 to 200 characters is expected",
        ],
    );
}

#[test]
fn a_limit_that_can_never_be_reached_is_a_warning() {
    let text = "[[slo]]\nname = \"a\"\nservice = \"s\"\nobjective = 0.9\n";
    let warnings = parse(&format!("{LEAST}{text}")).unwrap().warnings;
    let expected = "slo[0]: its budget burns 10.00 times too fast when every request fails; the limit of burn_1h is never \
                    reached";
    assert_eq!(warnings, [expected]);
}
