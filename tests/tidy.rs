//! The house rules that no lint holds: layers, doors, sizes, headers, names, dependencies.
//!
//! Every check is a function from sources to faults, run over this repository and over a made-up source that breaks the
//! rule, so that no check goes blind.

use std::path::{Path, PathBuf};

use regex::Regex;

/// Who may import whom, by the first part of the path. A module may always import itself; `edge` has more rules below.
const LAYERS: [(&str, &[&str]); 11] = [
    ("main", &["app", "cli", "config", "logging", "report", "schemas"]),
    ("lib", &[]),
    ("cli", &["app", "config", "pipeline", "report", "secret"]),
    ("schemas", &["config", "edge", "pipeline"]),
    ("logging", &["config"]),
    ("app", &["config", "edge", "pipeline", "secret"]),
    ("report", &["config", "edge", "pipeline"]),
    ("edge", &["config", "pipeline", "secret"]),
    ("pipeline", &[]),
    ("config", &["pipeline", "secret"]),
    ("secret", &[]),
];

/// An edge never imports another, but for these and, for its metrics, `admin`: delivery takes from the outbox and ends
/// in a topic too; the protocols are written in delivery's words; whoever sends alerts asks `format` how they look.
const EDGE_PAIRS: [(&str, &str); 7] = [
    ("deliver", "store"),
    ("deliver", "kafka"),
    ("deliver", "format"),
    ("splunk", "deliver"),
    ("splunk", "format"),
    ("elastic", "deliver"),
    ("elastic", "format"),
];

/// Each heavy crate has one door; `anyhow` stays where errors are told to a person.
const DOORS: [(&str, &[&str]); 10] = [
    ("rdkafka", &["edge/kafka"]),
    ("linfa", &["pipeline/cluster"]),
    ("linfa_clustering", &["pipeline/cluster"]),
    ("linfa_nn", &["pipeline/cluster"]),
    ("maxminddb", &["edge/tables"]),
    ("rusqlite", &["edge/store"]),
    ("reqwest", &["edge/deliver"]),
    ("age", &["secret/seal"]),
    ("ratatui", &["app/top"]),
    ("anyhow", &["main", "app", "report"]),
];

/// The pure core, and the one pure edge.
const PURE: [&str; 2] = ["pipeline/", "edge/format/"];

/// What the pure core never touches.
const IMPURE: [&str; 11] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "SystemTime",
    "Instant::now",
    "tokio::",
    "tracing::",
    "metrics::",
];

/// Lines of code in a file, without tests, comments and blank lines. 300 is the aim.
const FILE_CODE_LINES_MAX: usize = 450;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 10] =
    ["utils", "util", "common", "helpers", "helper", "manager", "types", "misc", "v2", "shared"];

/// One source file: its path below `src` or `tests`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The first part of the path: `edge` of `edge/kafka.rs`, `cli` of `cli.rs`.
    fn layer(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    /// The second part: `kafka` of `edge/kafka.rs` and of `edge/kafka/settings.rs`.
    fn part(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default().split('.').next().unwrap_or_default()
    }

    /// Lines of code: no tests, no comments, no blank lines; with their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.path.ends_with("tests.rs") || self.path.contains("/tests/");
        let lines: Vec<&str> = self.text.lines().collect();
        let begin =
            |pair: &[&str]| matches!(pair, [cfg, next] if cfg.trim() == "#[cfg(test)]" && next.contains("mod "));
        let end = lines.windows(2).position(begin).unwrap_or(lines.len());
        let end = if tests { 0 } else { end };
        let numbered = lines.into_iter().enumerate().take(end).map(|(at, line)| (at + 1, line.trim()));
        numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, sorted; no links, no build output.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || ["target", ".git", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources(dir: &str) -> Vec<Source> {
    let base = root().join(dir);
    let mut found = Vec::new();
    files(&base, &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let source = |path: &PathBuf| Source {
        path: path.strip_prefix(&base).unwrap().to_str().unwrap().replace('\\', "/"),
        text: std::fs::read_to_string(path).unwrap(),
    };
    found.iter().map(source).collect()
}

fn made_up(path: &str, text: &str) -> Vec<Source> {
    vec![Source { path: path.to_owned(), text: text.to_owned() }]
}

/// Runs a check over the repository, where it must be silent and have met something, and over a breach, where not.
fn check(rule: impl Fn(&[Source]) -> (usize, Vec<String>), dir: &str, met_min: usize, breaches: &[(&str, &str)]) {
    let (met, faults) = rule(&sources(dir));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(met >= met_min, "the check met only {met} of at least {met_min}: it has gone blind");
    for (path, text) in breaches {
        let (_, faults) = rule(&made_up(path, text));
        assert!(!faults.is_empty(), "this breach in {path} is not seen:\n{text}");
    }
}

#[test]
fn modules_import_only_what_their_layer_may() {
    check(
        layers,
        "src",
        20,
        &[
            ("pipeline/judge.rs", "use crate::edge::Source;"),
            ("pipeline/judge.rs", "let x = crate::config::no_color();"),
            ("edge/kafka.rs", "use crate::app;"),
            ("edge/kafka.rs", "use crate::{app, edge};"),
            ("edge/kafka/settings.rs", "use crate::edge::store::Store;"),
            ("edge/splunk.rs", "use super::store::Store;"),
            ("edge/splunk.rs", "use super::{Pull, store::Store};"),
            ("edge/splunk.rs", "use crate::edge::{\n    Pull,\n    store::Store,\n};"),
            ("edge/splunk/reply.rs", "use super::super::store::Store;"),
            ("edge/store.rs", "use crate::edge::deliver::Sender;"),
            ("edge/deliver.rs", "use super::splunk;"),
            ("edge/deliver/topic.rs", "use super::super::files::FileSource;"),
            ("edge/kafka/produce.rs", "use crate::edge::deliver::Outlet;"),
            ("edge/elastic.rs", "use super::store::Fate;"),
            ("edge/admin.rs", "use super::store::Fate;"),
            ("edge/format/cef.rs", "use crate::edge::deliver::Wire;"),
            ("edge/format/mod.rs", "use super::deliver::Wire;"),
            ("edge/admin/health.rs", "use crate::edge::deliver::Lane;"),
            ("report.rs", "use crate::edge::kafka::Consumer;"),
            ("report/sheet.rs", "use crate::app::run;"),
            ("config.rs", "use crate::edge::store::Store;"),
            ("main.rs", "use panicsift::{app, edge};"),
            ("main.rs", "use panicsift::pipeline::event;"),
            ("novelty.rs", "fn f() {}"),
        ],
    );
    let allowed = [
        ("edge/deliver.rs", "use crate::edge::store::Store;\nuse super::kafka;"),
        ("edge/elastic/setup.rs", "use crate::edge::deliver::Wire;"),
        ("edge/kafka.rs", "use crate::edge::admin::Metrics;\nuse super::Pull;\nuse crate::edge::Source;"),
        ("edge/kafka/settings.rs", "use super::Consumer;\nuse crate::edge::kafka::Consumer;"),
        ("edge/kafka/settings.rs", "use super::status::Brokers;\nuse super::super::Pull;"),
        ("edge/files.rs", "use super::{DeadLetters, Pull};\nuse crate::edge::{\n    Source,\n    SourceError,\n};"),
        ("edge/splunk.rs", "#[cfg(test)]\nmod tests {\n    use crate::edge::store::Store;\n}"),
        ("edge/splunk.rs", "// as in crate::edge::store::Store"),
        ("report.rs", "use crate::edge::store::Reader;"),
    ];
    for (path, text) in allowed {
        assert_eq!(layers(&made_up(path, text)).1, Vec::<String>::new());
    }
}

fn layers(sources: &[Source]) -> (usize, Vec<String>) {
    let (mut met, mut faults) = (0, Vec::new());
    for source in sources {
        let layer = source.layer();
        let Some((_, may)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            faults.push(format!("src/{}: say in LAYERS who {layer} may import", source.path));
            continue;
        };
        for import in imports(source) {
            met += 1;
            let Import { number, first, second } = &import;
            let mut fault = |what: String| faults.push(format!("src/{}:{number}: {what}", source.path));
            if first != layer && !may.contains(&first.as_str()) {
                fault(format!("{layer} imports {first}"));
            } else if first == "edge" && layer == "edge" && !edge_may(source.part(), second) {
                fault(format!("the edge {} imports {second}", source.part()));
            } else if first == "edge" && layer == "report" && second != "store" {
                fault(format!("report imports edge::{second}; it reads the store and nothing else"));
            }
        }
    }
    (met, faults)
}

/// A path that a source names: its line, and its first and second part below the crate.
struct Import {
    number: usize,
    first: String,
    second: String,
}

/// The paths of this crate that a source names, in `use` and elsewhere, also over several lines and through `super`.
fn imports(source: &Source) -> Vec<Import> {
    let (numbers, lines): (Vec<usize>, Vec<&str>) = source.code().unzip();
    let code = lines.join("\n");
    let mut found = Vec::new();
    let mut note = |at: usize, first: &str, second: &str| {
        let number = numbers.get(code.get(..at).unwrap_or_default().matches('\n').count()).copied().unwrap_or(0);
        for first in parts(first) {
            for second in parts(second) {
                found.push(Import { number, first: first.to_owned(), second: second.to_owned() });
            }
        }
    };
    let names = r"(\{[^}]*|\w+)";
    let absolute = Regex::new(&format!(r"\b(?:crate|panicsift)::{names}(?:::{names})?")).unwrap();
    for path in absolute.captures_iter(&code) {
        note(path.get(0).unwrap().start(), &path[1], path.get(2).map_or("", |part| part.as_str()));
    }
    // From `edge/kafka.rs` one `super` leads to `edge`, from `edge/kafka/poll.rs` two do.
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    if source.layer() == "edge" && depth > 0 {
        let upward = Regex::new(&format!(r"(?:^|[^:\w])(?:super::){{{depth}}}{names}")).unwrap();
        for path in upward.captures_iter(&code).filter(|path| &path[1] != "super") {
            note(path.get(0).unwrap().start(), "edge", &path[1]);
        }
    }
    found
}

/// The names of `{a::b, c}`, of `a`, or of nothing, which is one empty name.
fn parts(names: &str) -> Vec<&str> {
    let inner = names.trim_start_matches('{');
    let parts = inner.split(',').map(|part| part.split("::").next().unwrap_or_default().trim());
    if inner.is_empty() { vec![""] } else { parts.filter(|part| !part.is_empty()).collect() }
}

/// Whether one edge may import another; names of types belong to `edge/mod.rs`, which all may.
fn edge_may(from: &str, to: &str) -> bool {
    let of_the_module = to.is_empty() || to == "self" || to.starts_with(|c: char| c.is_uppercase());
    of_the_module || to == from || to == "admin" || from == "mod" || EDGE_PAIRS.contains(&(from, to))
}

#[test]
fn heavy_crates_have_one_door() {
    check(
        doors,
        "src",
        1,
        &[
            ("app.rs", "use rdkafka::ClientConfig;"),
            ("edge/files.rs", "let x = rusqlite::Connection::open();"),
            ("pipeline/judge.rs", "use linfa::prelude::*;"),
            ("pipeline/enrich.rs", "use maxminddb::Reader;"),
            ("edge/splunk.rs", "use reqwest;"),
            ("report/list.rs", "use ratatui::text::Line;"),
            ("edge/splunk.rs", "fn f() -> anyhow::Result<()> {"),
        ],
    );
    for (path, text) in [("edge/kafka/producer.rs", "use rdkafka::X;"), ("edge/store/schema.rs", "use rusqlite::X;")] {
        assert_eq!(doors(&made_up(path, text)), (1, vec![]));
    }
}

fn doors(sources: &[Source]) -> (usize, Vec<String>) {
    let (mut met, mut faults) = (0, Vec::new());
    for (name, doors) in DOORS {
        let used = Regex::new(&format!(r"(^|[^\w:.]){name}(::|;)")).unwrap();
        for source in sources {
            for (number, _) in source.code().filter(|(_, line)| used.is_match(line)) {
                met += 1;
                let path = source.path.trim_end_matches(".rs");
                if !doors.iter().any(|door| path == *door || path.starts_with(&format!("{door}/"))) {
                    faults.push(format!("src/{}:{number}: {name} is used only in {doors:?}", source.path));
                }
            }
        }
    }
    (met, faults)
}

#[test]
fn the_pure_core_touches_nothing() {
    let breaches =
        PURE.iter().flat_map(|path| IMPURE.map(|name| (format!("{path}x.rs"), format!("let x = {name}x();"))));
    let breaches: Vec<(String, String)> = breaches.collect();
    let breaches: Vec<(&str, &str)> = breaches.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    check(purity, "src", 100, &breaches);
}

fn purity(sources: &[Source]) -> (usize, Vec<String>) {
    let (mut met, mut faults) = (0, Vec::new());
    for source in sources.iter().filter(|source| PURE.iter().any(|path| source.path.starts_with(path))) {
        for (number, line) in source.code() {
            met += 1;
            let touched = IMPURE.iter().find(|name| line.contains(*name));
            faults.extend(touched.map(|name| format!("src/{}:{number}: the pure core uses {name}", source.path)));
        }
    }
    (met, faults)
}

#[test]
fn files_have_at_most_450_lines_of_code() {
    let long = "let x = 1;\n".repeat(FILE_CODE_LINES_MAX + 1);
    check(sizes, "src", 1_000, &[("edge/kafka.rs", &long)]);
    let documented = "// why\n\n".repeat(10_000);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}");
    for text in [documented, tested] {
        assert_eq!(sizes(&made_up("edge/kafka.rs", &text)).1, Vec::<String>::new());
    }
}

fn sizes(sources: &[Source]) -> (usize, Vec<String>) {
    let (mut met, mut faults) = (0, Vec::new());
    for source in sources {
        let lines = source.code().count();
        met += lines;
        if lines > FILE_CODE_LINES_MAX {
            let path = &source.path;
            faults.push(format!(
                "src/{path}: {lines} lines of code; at most {FILE_CODE_LINES_MAX} (tests, comments and blank lines not \
                 counted): split it by meaning"
            ));
        }
    }
    (met, faults)
}

#[test]
fn every_module_opens_with_what_it_is() {
    let breaches = [("edge/kafka.rs", "use x;\n//! late"), ("a.rs", ""), ("a.rs", "//! x"), ("a.rs", "/// of an item")];
    check(headers, "src", 20, &breaches);
    check(headers, "tests", 3, &breaches);
}

fn headers(sources: &[Source]) -> (usize, Vec<String>) {
    let sentence = |source: &Source| {
        source.text.lines().next().and_then(|line| line.strip_prefix("//! ")).is_some_and(|words| words.len() > 8)
    };
    // What a `tests.rs` holds, its parent says.
    let bare = sources.iter().filter(|source| !source.path.ends_with("/tests.rs") && !sentence(source));
    (sources.len(), bare.map(|source| format!("{}: opens without //! and a sentence", source.path)).collect())
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let breaches = EMPTY_NAMES.map(|name| (format!("edge/{name}.rs"), format!("edge/{name}/mod.rs")));
    let breaches: Vec<(&str, &str)> =
        breaches.iter().flat_map(|(file, folder)| [(file.as_str(), ""), (folder.as_str(), "")]).collect();
    check(names, "src", 20, &breaches);
    check(names, "tests", 3, &[]);
}

fn names(sources: &[Source]) -> (usize, Vec<String>) {
    let empty = |source: &&Source| source.path.split(['/', '.']).any(|part| EMPTY_NAMES.contains(&part));
    let found = sources.iter().filter(empty);
    (sources.len(), found.map(|source| format!("{}: name it after what it does", source.path)).collect())
}

#[test]
fn every_dependency_is_used() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let dependencies: Vec<String> = manifest["dependencies"].as_table().unwrap().keys().cloned().collect();
    assert!(dependencies.len() > 20, "only {} dependencies were read", dependencies.len());
    let sources = sources("src");
    let used = |name: &str| {
        let name = name.replace('-', "_");
        let used = Regex::new(&format!(r"(^|[^\w:.]){name}(::|;)")).unwrap();
        sources.iter().any(|source| source.code().any(|(_, line)| used.is_match(line)))
    };
    let unused: Vec<&str> = dependencies.iter().map(String::as_str).filter(|name| !used(name)).collect();
    assert!(unused.is_empty(), "unused dependencies of Cargo.toml: {unused:?}");
}

#[test]
fn no_file_names_a_registry_or_a_place_of_one_machine() {
    // Put together here, so that this file does not break its own rule.
    let hosts = [
        "index.crates",
        "static.crates",
        "registry.npmjs",
        "pypi",
        "pythonhosted",
        "maven",
        "proxy.golang",
        "rubygems",
    ]
    .join("|");
    let registry = Regex::new(&format!(r"https?://[\w.-]*({hosts})[\w.-]*")).unwrap();
    let place = Regex::new(&format!("(^|[\\s\"'`(=])/({})/", ["work", "root", "home", "Users"].join("|"))).unwrap();
    let seen = |text: &str| registry.is_match(text) || place.is_match(text);
    for (breach, expected) in [
        (["https", "://repo1.maven.org/x"].concat(), true),
        (["\"/", "home/me/x\""].concat(), true),
        ("target/work/x and https://opensearch.example".to_owned(), false),
    ] {
        assert_eq!(seen(&breach), expected, "{breach}");
    }

    let mut all = Vec::new();
    files(&root(), &mut all);
    let written_by_us = |path: &Path| {
        let name = path.to_string_lossy();
        let text = [".rs", ".toml", ".md", ".sh", ".service", ".yml", ".yaml", ".ci/run"];
        text.iter().any(|end| name.ends_with(end)) && !name.contains("fixtures")
    };
    all.retain(|path| written_by_us(path));
    assert!(all.len() > 25, "only {} files were met", all.len());
    let mut faults = Vec::new();
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        // Tests may quote panic messages, and those hold the paths of whoever built the program.
        let end = if path.starts_with(root().join("src")) { text.find("#[cfg(test)]") } else { None };
        let text =
            if path.ends_with("tests.rs") { "" } else { text.get(..end.unwrap_or(text.len())).unwrap_or_default() };
        let found = text.lines().enumerate().filter(|(_, line)| seen(line));
        faults.extend(found.map(|(at, line)| format!("{}:{}: {line}", path.display(), at + 1)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
