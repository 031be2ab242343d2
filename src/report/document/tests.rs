use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document(name: &str) -> Document {
    let mut section = Section::new("facts", "Facts");
    section.say(Words::new("It was ").name(name).say(" at 5 % *today*."));
    section.list(vec![Words::default().name(name)]);
    let mut table = Table::new("rows", &[("name", "name"), ("events", "events"), ("at", "at")]);
    table.push(vec![Value::name(name), Value::Count(3), Value::Time(Some(Millis(61_500)))]);
    table.push(vec![Value::words("a|b")]);
    section.table(table);
    Document { schema: "facts.v1", title: "Facts of <a> day".to_owned(), sections: vec![section] }
}

#[test]
fn one_document_says_the_same_in_three_forms() {
    let markdown = "# Facts of \\<a\\> day\n\n## Facts\n\nIt was `POST /v1/{id}` at 5 % \\*today\\*.\n\n\
        - `POST /v1/{id}`\n\n| name | events | at |\n| --- | ---: | --- |\n\
        | `POST /v1/{id}` | 3 | 1970-01-01 00:01:01 |\n| a\\|b | - | - |\n";
    assert_eq!(document("POST /v1/{id}").render(Form::Markdown), markdown);
    let html = document("POST /v1/{id}").render(Form::Html);
    assert!(html.contains("<p>It was <code>POST /v1/{id}</code> at 5 % *today*.</p>"), "{html}");
    assert!(html.contains("<td class=\"n\">3</td><td>1970-01-01 00:01:01</td>"), "{html}");
    let found: serde_json::Value = serde_json::from_str(&document("POST /v1/{id}").render(Form::Json)).unwrap();
    let expected = json!({"schema": "facts.v1", "title": "Facts of <a> day", "sections": {"facts": {
        "title": "Facts", "words": ["It was POST /v1/{id} at 5 % *today*.", "POST /v1/{id}"],
        "tables": {"rows": [{"name": "POST /v1/{id}", "events": 3, "at": "1970-01-01T00:01:01.500Z"},
                            {"name": "a|b", "events": null, "at": null}]}}}});
    assert_eq!(found, expected);
}

#[test]
fn a_hostile_name_is_inert_in_markdown() {
    let check = |name: &str, expected: &str| {
        let markdown = document(name).render(Form::Markdown);
        assert!(markdown.contains(&format!("- {expected}\n")), "{markdown}");
    };
    check("<script>alert(1)</script>", "`<script>alert(1)</script>`");
    check("[x](javascript:alert(1))", "`[x](javascript:alert(1))`");
    check("a`b", "``a`b``");
    check("``", "``` `` ```");
    check("a\\", "`a\\`");
    check("a\\|b", "a&#92;&#124;b");
    check("`|` @team https://x", "&#96;&#124;&#96; &#64;team https&#58;&#47;&#47;x");
    check("x\n# head", "`x\\u{a}# head`");
    check("", "(empty)");
    check("  ", "(empty)");
    check(" a", "`  a `");
}

#[test]
fn numbers_have_one_form_each() {
    let interval = |low, estimate, high| Interval { low, estimate, high };
    assert_eq!(percent(&interval(0.91, 0.931, 0.948)), "93.1 % (91.0 to 94.8)");
    assert_eq!(times(&interval(1.9, 2.31, 2.8)), "2.31 times (1.90 to 2.80)");
    assert_eq!(times(&interval(1.9, 2.31, f64::INFINITY)), "2.31 times (1.90 to no limit)");
    assert_eq!(times(&interval(1.9, f64::INFINITY, f64::INFINITY)), "at least 1.90 times");
    assert_eq!(reckoned(Reckoning { low: 3, high: 5 }), "3 to 5");
    assert_eq!(reckoned(Reckoning::exactly(3)), "3");
    for (millis, expected) in [
        (0, "0 ms"),
        (850, "850 ms"),
        (-12_500, "-12.5 s"),
        (252_999, "4 min 12 s"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
        (i64::MIN, "-106751991167 d 7 h"),
    ] {
        assert_eq!(duration(millis), expected);
    }
    assert_eq!(json::value(&document("x"))["sections"]["facts"]["tables"]["rows"][0]["events"], 3);
    assert_eq!(decimal(f64::NAN), "-");
}

/// Cells of a table's row, as the tables of GitHub are split: a pipe counts unless a backslash stands before it.
fn cells(row: &str) -> usize {
    let (mut n, mut escaped) = (0, false);
    for c in row.chars() {
        n += usize::from(c == '|' && !escaped);
        escaped = c == '\\' && !escaped;
    }
    n - 1
}

proptest! {
    #[test]
    fn no_name_breaks_a_table_or_leaves_its_place(name in "\\PC{0,40}|[|`\\\\<>&\"'\\[\\]()!@#*_~ \n-]{0,20}") {
        let markdown = document(&name).render(Form::Markdown);
        let plain = document("x").render(Form::Markdown);
        prop_assert_eq!(markdown.lines().count(), plain.lines().count());
        for row in markdown.lines().filter(|line| line.starts_with('|')) {
            prop_assert_eq!(cells(row), 3, "{}", row);
        }
        let html = document(&name).render(Form::Html);
        let text = html.replace("<code>", "").replace("</code>", "");
        let tags = |html: &str| html.matches(['<', '>']).count();
        prop_assert_eq!(tags(&text), tags(&document("x").render(Form::Html).replace("<code>", "").replace("</code>", "")));
        let found: serde_json::Value = serde_json::from_str(&document(&name).render(Form::Json)).unwrap();
        let told = found["sections"]["facts"]["words"][1].as_str().unwrap().to_owned();
        prop_assert_eq!(told, printable(&name));
    }
}
