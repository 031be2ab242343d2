//! The page of `report html`, read by a real parser: well formed, inert, bounded, and its sums add up.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use html5ever::tendril::TendrilSink;
use markup5ever_rcdom::{Node, NodeData, RcDom};
use panicsift::pipeline::state::State;
use panicsift::report::html::{PAGE_BYTES_MAX, answer, tell};
use sha2::{Digest, Sha256};

use crate::support::context;
use crate::support::pages::{CANARIES, canary_store, demo_store, large_store};

/// Events until which the demo has opened an alert.
const N_EVENTS: usize = 2_000;

/// Elements that the page may have; all others would be somebody else's.
const ELEMENTS: [&str; 50] = [
    "a",
    "bdi",
    "body",
    "button",
    "code",
    "dd",
    "desc",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "head",
    "header",
    "html",
    "input",
    "label",
    "li",
    "line",
    "main",
    "meta",
    "nav",
    "ol",
    "output",
    "p",
    "path",
    "rect",
    "script",
    "section",
    "span",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
    "br",
    "strong",
];

static DEMO: LazyLock<String> = LazyLock::new(|| page(|path| demo_store(&context(), path, N_EVENTS)));
static CANARY: LazyLock<String> = LazyLock::new(|| page(|path| canary_store(&context(), path, N_EVENTS)));

/// The page of the store that `fill` makes.
fn page(fill: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    fill(&path);
    let mut out = Vec::new();
    answer(&path, 500, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn empty_page() -> String {
    let mut out = Vec::new();
    tell(&State::default(), None, 500, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// An element of a page, with all the text in it and the elements below it in the order of the page.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a page; its faults go to the second value.
    fn parse(html: &str) -> (Self, Vec<String>) {
        let dom = html5ever::parse_document(RcDom::default(), html5ever::ParseOpts::default()).one(html);
        let faults = dom.errors.borrow().iter().map(ToString::to_string).collect();
        (Self::of(&dom.document), faults)
    }

    fn of(node: &Rc<Node>) -> Self {
        let mut element = Self::default();
        if let NodeData::Element { name, attrs, .. } = &node.data {
            element.name = name.local.to_string();
            let attributes = attrs.borrow();
            element.attributes = attributes.iter().map(|a| (a.name.local.to_string(), a.value.to_string())).collect();
        }
        for child in node.children.borrow().iter() {
            match &child.data {
                NodeData::Text { contents } => element.text.push_str(&contents.borrow()),
                NodeData::Comment { contents } => panic!("the page has a comment: {contents}"),
                _ => {
                    let child = Self::of(child);
                    element.text.push_str(&child.text);
                    element.children.push(child);
                }
            }
        }
        element
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn has_class(&self, class: &str) -> bool {
        self.attribute("class").is_some_and(|classes| classes.split(' ').any(|own| own == class))
    }

    /// Itself and all below it.
    fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        let mut at = 0;
        while let Some(element) = found.get(at).copied() {
            found.extend(&element.children);
            at += 1;
        }
        found
    }

    fn find(&self, name: &str) -> Vec<&Self> {
        self.all().into_iter().filter(|element| element.name == name).collect()
    }

    fn by_id(&self, id: &str) -> &Self {
        self.all().into_iter().find(|element| element.attribute("id") == Some(id)).unwrap_or_else(|| panic!("no {id}"))
    }
}

/// A number as the page shows it, without the spaces between thousands.
fn number(text: &str) -> i64 {
    text.replace('\u{202f}', "").parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

/// Points in hundredths.
fn hundredths(text: &str) -> i64 {
    text.trim_start_matches('+').replace('.', "").parse().unwrap_or_else(|_| panic!("no points: {text:?}"))
}

#[test]
fn the_page_is_well_formed_whatever_things_are_called() {
    for (name, html) in [("demo", &*DEMO), ("canaries", &*CANARY), ("empty", &empty_page())] {
        let (page, faults) = Element::parse(html);
        assert!(faults.is_empty(), "{name}: {faults:?}");
        let ids: Vec<&str> = page.all().into_iter().filter_map(|element| element.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: an id stands twice");
        for link in page.find("a") {
            let target = link.attribute("href").and_then(|href| href.strip_prefix('#')).unwrap();
            assert!(ids.contains(&target), "{name}: a link leads to {target}, which is not there");
        }
        for picture in page.all().into_iter().filter(|element| element.has_class("bars")) {
            let told: Vec<&str> = picture.children.iter().take(2).map(|child| child.name.as_str()).collect();
            assert_eq!(told, ["title", "desc"], "{name}: a picture without words");
        }
    }
}

#[test]
fn nothing_that_a_stranger_wrote_becomes_a_part_of_the_page() {
    let (page, _) = Element::parse(&CANARY);
    for element in page.all().into_iter().filter(|element| !element.name.is_empty()) {
        assert!(ELEMENTS.contains(&element.name.as_str()), "<{}>", element.name);
        for (name, value) in &element.attributes {
            assert!(!name.starts_with("on") && name != "style" && name != "src", "{name}={value}");
        }
    }
    assert_eq!((page.find("script").len(), page.find("style").len()), (1, 1));
    let hidden = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!CANARY.contains(hidden), "a character that steers the direction of text");
    // They are there to be read, though: the test would else look at nothing.
    let shown = page.by_id("main").text.as_str();
    for canary in CANARIES {
        let canary: String = canary
            .chars()
            .map(|c| if hidden(c) || c == '\u{200f}' { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() })
            .collect();
        assert!(shown.contains(&canary), "{canary} is nowhere");
    }
}

#[test]
fn the_page_asks_nothing_of_anybody() {
    for html in [&*DEMO, &empty_page()] {
        let (page, script) = html.split_once("<script>").unwrap();
        for address in ["http:", "https:", "url(", "@import", "src=", "data:", "fetch(", "XMLHttpRequest", "import("] {
            for part in [page, script] {
                let found = part.lines().find(|line| line.contains(address));
                assert!(found.is_none(), "{address}: {found:?}");
            }
        }
        // Only the script has two strokes: its comments begin with them.
        let found = page.lines().find(|line| line.contains("//"));
        assert!(found.is_none(), "{found:?}");
    }
}

#[test]
fn the_policy_is_that_of_the_very_style_and_script() {
    let (page, _) = Element::parse(&DEMO);
    let metas = page.find("meta");
    let policy = metas.iter().find(|meta| meta.attribute("http-equiv") == Some("Content-Security-Policy")).unwrap();
    let policy = policy.attribute("content").unwrap();
    for (what, name) in [("style-src", "style"), ("script-src", "script")] {
        let hash = STANDARD.encode(Sha256::digest(&page.find(name)[0].text));
        assert!(policy.contains(&format!("; {what} 'sha256-{hash}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    let charset_at = DEMO.find("charset").unwrap();
    let policy_at = DEMO.find("Content-Security-Policy").unwrap();
    assert!(charset_at < policy_at && policy_at < DEMO.find("<style>").unwrap(), "the policy comes too late");
}

#[test]
fn the_evidence_of_every_cluster_adds_up() {
    let (page, _) = Element::parse(&DEMO);
    let mut n_accounts = 0;
    for account in page.find("table").into_iter().filter(|table| table.has_class("account")) {
        let mut sum = 0;
        for row in &account.find("tbody")[0].children {
            let cells: Vec<&str> = row.children.iter().map(|cell| cell.text.as_str()).collect();
            sum += hundredths(cells[1]);
            assert_eq!(hundredths(cells[2]), sum, "{cells:?}");
        }
        let last = &account.find("tfoot")[0].find("td")[1].text;
        let points = last.split(' ').next_back().unwrap();
        assert_eq!(*last, format!("sum {points} = points {points}"));
        assert_eq!(hundredths(points), sum);
        n_accounts += 1;
    }
    assert!(n_accounts > 0, "no cluster has evidence");
}

#[test]
fn the_networks_add_up_to_all_events_and_the_table_tells_every_cluster() {
    let (page, _) = Element::parse(&DEMO);
    let networks = page.by_id("networks");
    let rows = |name: &str| -> Vec<i64> {
        let cell = |row: &&Element| number(&row.children.iter().find(|cell| cell.has_class("n")).unwrap().text);
        networks.find(name)[0].find("tr").iter().map(cell).collect()
    };
    let (named, mut others) = (rows("tbody"), rows("tfoot"));
    let all = others.pop().unwrap();
    assert_eq!(all, i64::try_from(N_EVENTS).unwrap());
    assert_eq!(named.iter().chain(&others).sum::<i64>(), all);
    let clusters = page.by_id("clusters-table");
    let events: i64 = clusters.find("tbody")[0].children.iter().map(|row| number(&row.children[4].text)).sum();
    assert_eq!(events, all);
}

#[test]
fn the_same_store_gives_the_same_page() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    demo_store(&context(), &path, 300);
    let told = || {
        let mut out = Vec::new();
        answer(&path, 500, &mut out).unwrap();
        out
    };
    assert_eq!(told(), told());
}

#[test]
fn the_largest_store_with_the_longest_names_keeps_to_its_room() {
    let check = |kind: &str, name: &dyn Fn(&str, u64) -> String| {
        let html = page(|path| large_store(&context(), path, name));
        let (page, faults) = Element::parse(&html);
        assert!(faults.is_empty(), "{kind}: {faults:?}");
        let n_rows = page.by_id("clusters-table").find("tbody")[0].children.len();
        let full = page.by_id("full");
        let n_full = full.find("details").len();
        let tiles = page.by_id("overview").find("dl")[0].text.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("{kind}: {} bytes, {n_rows} rows, {n_full} in full; {tiles}", html.len());
        assert!(html.len() <= PAGE_BYTES_MAX, "{kind}: {} bytes", html.len());
        (n_rows, n_full)
    };
    let (n_rows, n_full) = check("ordinary", &|kind, n| format!("{kind} {n} of /v1/orders/{{id}}/items"));
    assert_eq!((n_rows, n_full), (500, 100));
    let (n_rows, n_full) = check("hostile", &|kind, n| format!("{kind}{n}{}", "\"".repeat(180)));
    assert!(n_rows >= 100 && n_full >= 10, "{n_rows} rows, {n_full} in full");
}

#[test]
fn a_state_without_events_says_so() {
    let (page, _) = Element::parse(&empty_page());
    let text = &page.by_id("main").text;
    for told in ["There are no clusters yet", "Nothing: no alert is open"] {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn the_command_writes_the_whole_file_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("panicsift.db");
    demo_store(&context(), &store, 300);
    let out = dir.path().join("report.html");
    let run = |store: &Path, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
        command.args(["report", "html", "--limit", "7", "--out", out, "--store"]).arg(store).output().unwrap()
    };
    let done = run(&store, out.to_str().unwrap());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stdout.is_empty());
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(Element::parse(&written).0.by_id("clusters-table").find("tbody")[0].children.len(), 7);
    let to_stdout = run(&store, "-");
    assert_eq!(String::from_utf8(to_stdout.stdout).unwrap(), written);

    let missing = run(&dir.path().join("nothing.db"), out.to_str().unwrap());
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no store"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), written, "the file of before is gone");
    let nowhere = run(&store, dir.path().join("no/such/folder.html").to_str().unwrap());
    assert_eq!(nowhere.status.code(), Some(1));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".tmp")), "{left:?}");
}
