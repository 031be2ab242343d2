//! The same page in a real browser, where one is told of: nothing runs, nothing is asked for, nothing overflows.
//!
//! `PANICSIFT_TEST_CHROMIUM` names the binary (Debian's package `chromium`). Pictures are left in `target/live/html`, to
//! be looked at.

mod browser;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};

use self::browser::{Browser, Look};
use crate::support::context;
use crate::support::pages::{canary_store, demo_store};
use crate::support::servers::live_folder;

/// Events until which the demo has opened an alert.
const N_EVENTS: usize = 2_000;

/// Widths that are looked at: a laptop's and a phone's.
const WIDTHS: [u32; 2] = [1_280, 390];

const DESK: Look = Look { width: 1_280, height: 900, is_dark: false, has_script: true };

/// Opens everything, so that everything is laid out.
const OPEN_ALL: &str = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";

/// How much wider than the window the page is; 0 where it fits.
const OVERFLOW: &str = "document.documentElement.scrollWidth - innerWidth";

/// Lowest contrast of text and ground that is told (WCAG 2.2 asks for 4.5), with the text that has it.
const CONTRAST: &str = r"(() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = [99, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, `${element.className} ${element.textContent.slice(0, 40)}`];
  }
  return least;
})()";

/// The page of the demo, made once for all tests.
static DEMO: LazyLock<Vec<u8>> = LazyLock::new(|| page(|path| demo_store(&context(), path, N_EVENTS)));

/// The page of the store that `fill` makes.
fn page(fill: impl Fn(&Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("panicsift.db");
    fill(&store);
    let mut page = Vec::new();
    panicsift::report::html::answer(&store, 500, &mut page).unwrap();
    page
}

/// A browser and the page as a file; `None`, loudly, where there is no browser.
fn opened(test: &str, page: impl Fn() -> Vec<u8>) -> Option<(Browser, tempfile::TempDir, PathBuf)> {
    let chromium = live_folder("PANICSIFT_TEST_CHROMIUM", test, "apt-get install chromium")?;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.html");
    std::fs::write(&file, page()).unwrap();
    Some((Browser::start(&chromium), dir, file))
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/live/html");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Everything that must hold however the page is looked at.
fn check_look(browser: &mut Browser, name: &str) {
    let seen = browser.value("[document.title, document.images.length, document.querySelectorAll('section').length]");
    assert_eq!(seen, json!(["panicsift report", 0, 7]), "{name}");
    assert_eq!(browser.value(OVERFLOW), json!(0), "{name} is wider than the window");
    browser.value(OPEN_ALL);
    let widest = "Array.from(document.querySelectorAll('main *')).filter((one) => !one.closest('.scroll') &&
        one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 120))";
    let wide = browser.value(widest);
    assert_eq!(wide, json!([]), "{name}: these are wider than the window");
    assert_eq!(browser.value(OVERFLOW), json!(0), "{name}, all open, is wider than the window");
    assert_eq!(browser.value("typeof window.__canary"), json!("undefined"), "{name}: a canary ran");
    let faults = browser.faults();
    assert!(faults.is_empty(), "{name}: {faults:#?}");
}

#[test]
fn the_page_fits_a_laptop_and_a_phone_in_the_dark_and_in_the_light() {
    let Some((mut browser, _dir, page)) = opened("the page in a browser", || DEMO.clone()) else { return };
    for width in WIDTHS {
        for is_dark in [false, true] {
            let name = format!("{width}-{}", if is_dark { "dark" } else { "light" });
            browser.open(&page, Look { width, is_dark, ..DESK });
            browser.picture(&pictures().join(format!("{name}.png")), width, 2_400);
            check_look(&mut browser, &name);
            browser.picture(&pictures().join(format!("{name}-open.png")), width, 16_000);
            let least = browser.value(CONTRAST);
            assert!(least[0].as_f64().unwrap() >= 4.5, "{name}: too little contrast: {least}");
            let ground = browser.value("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground == json!("rgb(18, 22, 29)"), is_dark, "{name}: {ground}");
        }
    }
}

#[test]
fn canaries_in_every_name_do_not_run() {
    let canaries = || page(|path| canary_store(&context(), path, N_EVENTS));
    let Some((mut browser, _dir, page)) = opened("canaries in a browser", canaries) else { return };
    for width in WIDTHS {
        browser.open(&page, Look { width, ..DESK });
        check_look(&mut browser, &format!("canaries at {width}"));
        // What a script does with texts: every column is sorted, every row filtered, every link followed.
        browser.value("document.querySelectorAll('th button').forEach((one) => { one.click(); one.click(); })");
        browser.value(
            "(() => { const field = document.getElementById('filter'); field.value = '<script> \">';
             field.dispatchEvent(new Event('input')); })()",
        );
        browser.value("document.querySelectorAll('main a').forEach((one) => one.click())");
        check_look(&mut browser, &format!("canaries at {width}, all touched"));
    }
    browser.picture(&pictures().join("canaries.png"), 390, 2_400);
}

#[test]
fn the_keyboard_does_it_all() {
    let Some((mut browser, _dir, page)) = opened("the keyboard in a browser", || DEMO.clone()) else { return };
    browser.open(&page, DESK);
    browser.press("Tab", 9, "");
    assert_eq!(browser.value("document.activeElement.className"), json!("skip"));
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value("location.hash"), json!("#main"));

    browser.press("/", 191, "/");
    assert_eq!(browser.value("document.activeElement.id + document.activeElement.value"), json!("filter"));
    browser.call("Input.insertText", &json!({"text": "HOSTILE"}));
    let shown = "Array.from(document.querySelectorAll('#clusters-table tbody tr')).filter((row) => !row.hidden)";
    let verdicts = browser.value(&format!("{shown}.map((row) => row.cells[1].textContent)"));
    let verdicts = verdicts.as_array().unwrap().clone();
    assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict == "hostile"), "{verdicts:?}");
    let told = browser.value("document.querySelector('output').textContent");
    assert!(told.as_str().unwrap().starts_with(&format!("{} of ", verdicts.len())), "{told}");
    browser.press("Escape", 27, "");
    let n_all = browser.value(&format!("{shown}.length"));
    assert!(n_all.as_u64().unwrap() > 20, "{n_all}");

    // The fifth column: events, the most first; then the fewest first.
    let events = "Array.from(document.querySelectorAll('#clusters-table tbody tr'), (row) =>
        Number(row.cells[4].textContent.replace(/\\u202f/g, '')))";
    browser.value("document.querySelectorAll('#clusters-table th button')[4].focus()");
    for (order, is_ascending) in [("descending", false), ("ascending", true)] {
        browser.press("Enter", 13, "\r");
        let sort = browser.value("document.querySelectorAll('#clusters-table th')[4].getAttribute('aria-sort')");
        assert_eq!(sort, json!(order));
        let sorted: Vec<u64> = browser.value(events).as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let mut expected = sorted.clone();
        expected.sort_unstable();
        if !is_ascending {
            expected.reverse();
        }
        assert!(sorted.len() > 20 && sorted == expected, "{sorted:?}");
    }

    // A link to a cluster opens it, and its summary has the focus.
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = false; })");
    browser.value("document.querySelector('#clusters-table a').focus()");
    browser.press("Enter", 13, "\r");
    browser.value("new Promise((done) => setTimeout(done, 100))");
    let opened = browser.value("[document.querySelectorAll('details[open]').length, document.activeElement.tagName]");
    assert_eq!(opened, json!([1, "SUMMARY"]));

    browser.value("document.getElementById('theme').focus()");
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value("document.documentElement.dataset.theme"), json!("dark"));
    let faults = browser.faults();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_page_is_read_without_a_script_and_printed() {
    let Some((mut browser, _dir, page)) = opened("paper in a browser", || DEMO.clone()) else { return };
    browser.open(&page, Look { has_script: false, ..DESK });
    check_look(&mut browser, "without a script");
    let offered = "['#theme', '.filter', 'th button'].filter((one) => document.querySelector(one)?.checkVisibility())";
    assert_eq!(browser.value(offered), json!([]), "what needs a script is offered without one");

    browser.open(&page, Look { is_dark: true, ..DESK });
    browser.media("print", true);
    let ground = browser.value("getComputedStyle(document.body).backgroundColor");
    assert_eq!(ground, json!("rgb(255, 255, 255)"), "paper is white");
    let closed = browser.value(
        "Array.from(document.querySelectorAll('details:not([open]) .body')).filter((one) => one.offsetHeight === 0).length",
    );
    assert_eq!(closed, json!(0), "something is closed on paper");
    let pdf = browser.call("Page.printToPDF", &json!({"printBackground": false}));
    assert!(pdf["data"].as_str().unwrap().len() > 10_000);
}
