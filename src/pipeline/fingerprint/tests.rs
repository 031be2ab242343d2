//! Laws of the shape, over whole requests, and the hostile cases of every format.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::pipeline::event::Request;

fn keys() -> Keys {
    Keys::derive(b"a secret of the tests")
}

fn event<'a>(content_type: &'a str, body: &'a [u8]) -> PanicEvent<'a> {
    let payload = match std::str::from_utf8(body) {
        Ok(text) => Payload::Text(Cow::Borrowed(text)),
        Err(_) => Payload::Bytes(body.to_vec()),
    };
    let request = Request { content_type: Some(Cow::Borrowed(content_type)), payload, ..Request::default() };
    PanicEvent { request, ..PanicEvent::default() }
}

fn of(content_type: &str, body: impl AsRef<[u8]>) -> Fingerprint {
    fingerprint(&keys(), &mut ShapeMemo::default(), &event(content_type, body.as_ref()))
}

fn json(body: &str) -> Fingerprint {
    of("application/json", body)
}

fn targeted(endpoint: &str, path: &str, query: &[(&str, &str)]) -> Fingerprint {
    let event = PanicEvent {
        endpoint: Some(endpoint.to_owned().into()),
        path: Some(path.to_owned().into()),
        query: query.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into())).collect(),
        ..PanicEvent::default()
    };
    fingerprint(&keys(), &mut ShapeMemo::default(), &event)
}

fn check_same(content_type: &str, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(of(content_type, body).shape, of(content_type, bodies[0]).shape, "{body:?} and {:?}", bodies[0]);
    }
}

fn check_different(content_type: &str, bodies: &[&str]) {
    for (at, body) in bodies.iter().enumerate() {
        for other in bodies.iter().skip(at + 1) {
            assert_ne!(of(content_type, body).shape, of(content_type, other).shape, "{body:?} and {other:?}");
        }
    }
}

#[test]
fn values_order_and_repeats_do_not_change_a_json_shape() {
    check_same(
        "application/json",
        &[
            r#"{"a":1,"b":["x","y"],"c":{"d":null}}"#,
            r#" { "c" : {"d":null}, "b":["", "ü\n", "z"], "a" : -99 } "#,
            r#"{"b":["x"],"a":0,"c":{"d":null}}"#,
            "{\"\\u0062\":[\"x\"],\"a\":0,\"c\":{\"d\":null}}",
        ],
    );
    check_same("application/json", &[r#"[1,"a",{"k":true}]"#, r#"["a",{"k":false},2,3,{"k":true},"b"]"#]);
}

#[test]
fn kinds_keys_and_nesting_change_a_json_shape() {
    check_different(
        "application/json",
        &[
            "{}",
            "[]",
            "1",
            "1.5",
            "\"\"",
            "true",
            "null",
            "[[]]",
            "[{}]",
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1.0}"#,
            r#"{"a":null}"#,
            r#"[1,"a"]"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1,"b":1}]"#,
            r#"{"a":1"#,
            r#"{"a":1}}"#,
        ],
    );
}

#[test]
fn keys_that_are_data_count_as_their_class() {
    check_same("application/json", &[r#"{"17":{"n":1},"18":{"n":2}}"#, r#"{"90210":{"n":7}}"#]);
    assert_eq!(json(r#"{"17":1,"18":2}"#).traits.marks & marks::DUPLICATE_KEY, 0);
    assert_eq!(json(r#"{"a":1,"a":1}"#).traits.marks, marks::DUPLICATE_KEY);
}

#[test]
fn malformed_and_cut_json_is_told_with_the_structure_so_far() {
    for (body, expected) in [
        (r#"{"a":1}"#, Parse::Sound),
        ("  \n", Parse::Sound),
        (r#"{"a":"#, Parse::CutShort),
        (r#"{"a":tr"#, Parse::CutShort),
        (r#"{"a":"x\"#, Parse::CutShort),
        ("[1,", Parse::CutShort),
        ("-", Parse::CutShort),
        ("[1,]", Parse::Broken),
        ("{a:1}", Parse::Broken),
        ("[NaN]", Parse::Broken),
        ("[01]", Parse::Broken),
        ("[1]]", Parse::Broken),
        ("[\"\t\"]", Parse::Broken),
        ("[\"\\q\"]", Parse::Broken),
        ("[\"\\ud800\"]", Parse::Sound),
        ("\u{FEFF}[1]", Parse::Sound),
    ] {
        assert_eq!(json(body).traits.parse, expected, "{body:?}");
    }
    assert_eq!(json("[\"\\ud800\"]").traits.marks, marks::ODD_CODE_POINT);
    assert_eq!(json("[\"\\ud83d\\ude00\"]").traits.fields[1].classes, chars::PICTOGRAPH);
}

#[test]
fn a_body_that_the_producer_cut_is_not_the_clients_fault() {
    let mut cut = event("application/json", br#"{"a":"x"#);
    cut.request.payload_truncated = true;
    let cut = fingerprint(&keys(), &mut ShapeMemo::default(), &cut);
    assert_eq!(cut.traits.parse, Parse::Sound);
    assert_ne!(cut.shape, json(r#"{"a":"x"}"#).shape);
}

#[test]
fn elements_of_one_array_are_one_field() {
    let fields = json(r#"{"items":[{"q":3,"n":"a"},{"q":-900,"n":"B c"}]}"#).traits.fields;
    let seen: Vec<_> = fields.iter().map(|f| (f.kind, f.size_log2, f.negative, f.classes)).collect();
    let text = chars::LOWER | chars::UPPER | chars::SPACE;
    assert_eq!(
        seen,
        [
            (ValueKind::Object, 1, false, 0),
            (ValueKind::Array, 2, false, 0),
            (ValueKind::Object, 2, false, 0),
            (ValueKind::Int, 10, true, 0),
            (ValueKind::Text, 2, false, text),
        ]
    );
    assert_eq!(json("[1,\"a\"]").traits.marks, marks::MIXED_ARRAY);
    assert_eq!(json("[1,2.5]").traits.marks, 0);
}

#[test]
fn a_target_counts_by_the_kinds_of_its_parameters() {
    let shape = |path, query: &[_]| targeted("GET /v1/orders/{id}", path, query).shape;
    assert_eq!(shape("/v1/orders/17", &[]), shape("/v1/orders/99", &[]));
    assert_ne!(shape("/v1/orders/17", &[]), shape("/v1/orders/x", &[]));
    assert_ne!(shape("/v1/orders/17", &[]), shape("/v1/orders/17/y", &[]));
    assert_eq!(shape("/v1/orders/1", &[("a", "1"), ("b", "x")]), shape("/v1/orders/1", &[("b", "y"), ("a", "2")]));
    assert_ne!(shape("/v1/orders/1", &[("a", "1")]), shape("/v1/orders/1", &[("a", "x")]));
    let odd = targeted("GET /v1/orders/{id}", "/v1/orders/..%2f..%252e%00", &[]);
    assert_eq!(odd.traits.marks & (marks::TRAVERSAL | marks::ODD_TARGET), marks::TRAVERSAL | marks::ODD_TARGET);
}

#[test]
fn other_formats_have_structure_too() {
    check_same("application/x-www-form-urlencoded", &["a=1&b=x", "b=why&a=22", "a=1&a=2&b=%41"]);
    check_different("application/x-www-form-urlencoded", &["a=1", "a=x", "b=1", "a=", "a=1.5", "a=1&b=1", "a=%"]);
    check_same("text/csv", &["sku,price\nA,1\nB,2.5\n", "sku,price\nC,9.5\n"]);
    check_different(
        "text/csv",
        &["sku,price\nA,1\n", "sku,cost\nA,1\n", "sku,price\nA,x\n", "sku,price\n", "sku,price\nA\n", "sku,price\n\"A"],
    );
    check_same("application/xml", &["<a x='1'><b>t</b><b>u</b></a>", "<?xml version='1.0'?><a x=\"2\"> <b>v</b></a>"]);
    check_different(
        "application/xml",
        &["<a/>", "<b/>", "<a x=''/>", "<a><b/></a>", "<a", "<!DOCTYPE a><a/>", "<a>&x;</a>"],
    );
    check_same("application/x-ndjson", &["{\"a\":1}\n{\"b\":\"\"}\n", "{\"b\":\"x\"}\r\n\r\n{\"a\":2}\n{\"a\":3}"]);
    check_same("application/hl7-v2+er7", &["MSH|^~|A|B\rPID|1||x\r", "MSH|^~|C|D\rPID|2||y\rPID|3||z\r"]);
    check_different(
        "",
        &["hello", "hello\nyou", "hello <b>", "\u{1}\u{2}\u{3}\u{4}", "\u{4}\u{3}\u{2}\u{1}\u{4}\u{3}\u{2}\u{1}"],
    );
}

#[test]
fn faults_of_other_formats_are_told() {
    for (content_type, body, expected) in [
        ("application/xml", "<a><b></a>", Parse::Broken),
        ("application/xml", "<a>x & y</a>", Parse::Broken),
        ("application/xml", "<a>x &amp; y</a>", Parse::Sound),
        ("application/xml", "<a><b>", Parse::CutShort),
        ("application/xml", "<a x=1/>", Parse::Broken),
        ("text/csv", "a,b\n\"x,y", Parse::CutShort),
        ("application/x-www-form-urlencoded", "a=50%", Parse::Broken),
        ("application/x-ndjson", "{\"a\":1}\n{\"a\":", Parse::CutShort),
        ("application/x-ndjson", "{\"a\":\n{\"a\":1}", Parse::Broken),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
            Parse::Sound,
        ),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
            Parse::CutShort,
        ),
    ] {
        assert_eq!(of(content_type, body).traits.parse, expected, "{content_type} {body:?}");
    }
}

#[test]
fn parts_of_a_multipart_body_are_told_apart() {
    let part = |name: &str, more: &str, content: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n--x--\r\n")
    };
    let shape = |body: String| of("multipart/form-data; boundary=\"x\"", body).shape;
    let file = "; filename=\"a.png\"\r\nContent-Type: image/png";
    assert_eq!(shape(part("a", file, "\u{89}abc")), shape(part("a", file, "\u{89}abcdef")));
    assert_ne!(shape(part("a", file, "abc")), shape(part("b", file, "abc")));
    assert_ne!(shape(part("a", file, "abc")), shape(part("a", "", "abc")));
    assert_ne!(shape(part("a", file, "%PDF")), shape(part("a", file, "GIF89")));
}

#[test]
fn a_shape_told_by_the_producer_is_taken() {
    let told = |shape: &'static str| {
        let mut event = PanicEvent::default();
        event.request.shape = Some(shape.into());
        fingerprint(&keys(), &mut ShapeMemo::default(), &event)
    };
    assert_eq!(told("x").format, Format::ProducerShape);
    assert_eq!(told("x").shape, told("x").shape);
    assert_ne!(told("x").shape, told("y").shape);
}

#[test]
fn a_repeat_has_the_same_content_and_nothing_else_has() {
    assert_eq!(json("[1]").content, json("[1]").content);
    assert_ne!(json("[1]").content, json("[2]").content);
}

#[test]
fn another_secret_gives_other_names() {
    let event = event("application/json", br#"{"a":"b"}"#);
    let one = fingerprint(&keys(), &mut ShapeMemo::default(), &event);
    let two = fingerprint(&Keys::derive(b"another"), &mut ShapeMemo::default(), &event);
    assert_ne!(
        (one.shape, one.content, one.traits.fields[0].path),
        (two.shape, two.content, two.traits.fields[0].path)
    );
    assert!(one.sketch.matches(&two.sketch) < 16);
}

#[test]
fn bombs_are_bounded() {
    let repeat = |sign: &str| sign.repeat((1 << 18) / sign.len());
    let many_keys =
        |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"key_{i}_x\":1")).collect::<Vec<_>>().join(","));
    let mut bodies: Vec<String> = [
        "[", "\"", "\\", "<", "%", ",", "&", "{\"a\":", "\n", "--", "|", "<a>", "a=%zz&", "\u{202E}", "|A|\n", "-",
        "&x;", "\"\",",
    ]
    .iter()
    .map(|sign| repeat(sign))
    .collect();
    bodies.push(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    bodies.push(format!("[{}]", vec!["1"; 200_000].join(",")));
    bodies.push(format!("\"{}", repeat("\\")));
    bodies.push(format!("{{\"{}\":{}}}", "k".repeat(1 << 20), "9".repeat(10_000)));
    bodies.push(format!("<a {}", repeat("b='c' ")));
    bodies.push(format!("<!DOCTYPE a [{}", repeat("<!ENTITY a '&b;'>")));
    let content_types = [
        "application/json",
        "application/xml",
        "text/csv",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/x-ndjson",
        "",
        "image/png",
        "application/hl7-v2+er7",
    ];
    for body in &bodies {
        for content_type in content_types {
            let mut memo = ShapeMemo::default();
            let found = fingerprint(&keys(), &mut memo, &event(content_type, body.as_bytes()));
            assert!(found.traits.fields.len() <= outline::FIELDS_MAX);
            assert!(memo.buffers.term.len() <= 4_096 * 96, "{} bytes of term", memo.buffers.term.len());
        }
    }
    let deep = json(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    assert_eq!((deep.traits.parse, deep.traits.depth), (Parse::Limited, u8::MAX));
    assert_eq!(json(&many_keys(1_000_000)).traits.parse, Parse::Limited);
    assert_eq!(json(&format!("[{}]", vec!["1"; 200_000].join(","))).traits.parse, Parse::Limited);
}

#[test]
fn nesting_beyond_the_term_is_counted_and_flagged() {
    let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(json(&nested(40)).traits.depth, 40);
    assert_eq!(json(&nested(40)).traits.marks, marks::DEEP);
    assert_eq!(json(&nested(40)).shape, json(&nested(50)).shape);
    assert_ne!(json(&nested(32)).shape, json(&nested(33)).shape);
    assert_eq!(json(&nested(7)).traits.marks, 0);
}

#[test]
fn the_two_hundred_and_fifty_seventh_key_is_flagged() {
    let object = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"k_{i}\":1")).collect::<Vec<_>>().join(","));
    assert_ne!(json(&object(256)).shape, json(&object(257)).shape);
    assert_eq!(json(&object(257)).shape, json(&object(300)).shape);
}

/// A JSON value with its structure fixed by the seeds and its values, order and spacing by `turn`.
#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool,
    Int,
    Text,
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![Just(Tree::Null), Just(Tree::Bool), Just(Tree::Int), Just(Tree::Text)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let object = prop::collection::btree_map("[a-z_]{1,6}", inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Tree::Array),
            object.prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

fn render(tree: &Tree, turn: usize, out: &mut String) {
    let space = ["", " ", "\n\t"][turn % 3];
    out.push_str(space);
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool => out.push_str(if turn.is_multiple_of(2) { "true" } else { "false" }),
        Tree::Int => out.push_str(["0", "-7", "123456", "99"][turn % 4]),
        Tree::Text => out.push_str(["\"\"", "\"a\"", "\"\\u00e9 \\\"\"", "\"12\""][turn % 4]),
        Tree::Array(elements) => {
            let n = elements.len();
            let repeats = if n == 0 { 0 } else { turn % 3 };
            let order: Vec<_> = (0..n).map(|i| (i + turn) % n).chain((0..repeats).map(|i| i % n)).collect();
            join(out, '[', ']', order.len(), |i, out| render(&elements[order[i]], turn + i, out));
        }
        Tree::Object(members) => {
            let n = members.len();
            join(out, '{', '}', n, |i, out| {
                let (key, value) = &members[(i + turn) % n];
                out.extend([space, "\"", key, "\" :"]);
                render(value, turn + i, out);
            });
        }
    }
    out.push_str(space);
}

fn join(out: &mut String, open: char, close: char, n: usize, mut each: impl FnMut(usize, &mut String)) {
    out.push(open);
    for i in 0..n {
        if i > 0 {
            out.push(',');
        }
        each(i, out);
    }
    out.push(close);
}

fn rendered(tree: &Tree, turn: usize) -> String {
    let mut out = String::new();
    render(tree, turn, &mut out);
    out
}

fn object_of(keys: &[String]) -> String {
    let members: Vec<_> =
        keys.iter().enumerate().map(|(i, key)| format!("\"{key}\":{}", ["1", "\"x\"", "[2]", "null"][i % 4])).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn order_repeats_space_and_values_never_change_the_shape(tree in tree(), a in 0_usize..12, b in 0_usize..12) {
        let (one, two) = (rendered(&tree, a), rendered(&tree, b));
        prop_assert_eq!(json(&one).shape, json(&two).shape, "{} and {}", one, two);
        prop_assert_eq!(json(&one).sketch, json(&two).sketch);
    }

    #[test]
    fn one_more_key_changes_the_shape(tree in tree(), key in "[A-Z]{1,6}") {
        let body = rendered(&tree, 0);
        let with_key = format!("{{\"{key}\":1,\"inner\":{body}}}");
        let without = format!("{{\"inner\":{body}}}");
        prop_assert_ne!(json(&with_key).shape, json(&without).shape);
        let other_kind = format!("{{\"{key}\":\"1\",\"inner\":{body}}}");
        prop_assert_ne!(json(&with_key).shape, json(&other_kind).shape);
    }

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300), which in 0_usize..8) {
        let content_type = ["application/json", "application/xml", "text/csv", "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x", "application/x-ndjson", "", "image/png"][which];
        let found = of(content_type, &body);
        prop_assert_eq!(found.format == Format::Empty, body.is_empty());
    }

    #[test]
    fn signs_of_every_syntax_in_any_order_are_read(body in "[\\[\\]{}\",:\\\\<>/&=;%a1 \n|'!?-]{0,80}", which in 0_usize..7) {
        let content_type = ["application/json", "application/xml", "text/csv", "application/x-www-form-urlencoded",
            "multipart/form-data", "application/x-ndjson", ""][which];
        let found = of(content_type, &body);
        prop_assert_eq!(found.shape, of(content_type, &body).shape);
    }

    #[test]
    fn a_memo_never_changes_an_answer(trees in prop::collection::vec(tree(), 1..6)) {
        let mut memo = ShapeMemo::default();
        for tree in trees.iter().chain(&trees) {
            let body = rendered(tree, 1);
            prop_assert_eq!(fingerprint(&keys(), &mut memo, &event("application/json", body.as_bytes())), json(&body));
        }
    }

    #[test]
    fn one_changed_key_keeps_shapes_near(names in prop::collection::btree_set("[a-z]{3,9}", 20..=20), at in 0_usize..20) {
        let names: Vec<String> = names.into_iter().collect();
        let mut changed = names.clone();
        changed[at].push_str("_X");
        let similarity = json(&object_of(&names)).sketch.similarity(&json(&object_of(&changed)).sketch);
        prop_assert!((0.7..1.0 + f64::EPSILON).contains(&similarity), "{}", similarity);
    }

    #[test]
    fn unrelated_shapes_are_far(
        a in prop::collection::btree_set("[a-m]{3,9}", 20..=20),
        b in prop::collection::btree_set("[n-z]{3,9}", 20..=20),
    ) {
        let object = |names: std::collections::BTreeSet<String>| object_of(&names.into_iter().collect::<Vec<_>>());
        let similarity = json(&object(a)).sketch.similarity(&json(&object(b)).sketch);
        prop_assert!(similarity <= 0.3, "{}", similarity);
    }
}
