use proptest::prelude::*;

use super::*;

object! {
    /// An object with every kind of value.
    Sample<'a> {
        id: Value<'a> = "id" | "Id",
        pairs: Pairs<'a> = "pairs",
        items: List<SampleItem<'a>> = "items",
    }
}

object! {
    /// An item.
    SampleItem<'a> {
        name: Value<'a> = "name",
    }
    idle SampleItem::says_nothing
}

impl SampleItem<'_> {
    fn says_nothing(&self) -> bool {
        self.name == Value::Nothing
    }
}

fn sample(text: &str) -> Sample<'_> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_first_of_a_repeated_key_counts_and_other_spellings_are_the_same_key() {
    assert_eq!(sample(r#"{"id":"a","id":"b"}"#).id.name().as_deref(), Some("a"));
    assert_eq!(sample(r#"{"Id":"a","id":"b"}"#).id.name().as_deref(), Some("a"));
    assert_eq!(sample(r#"{"\u0069d":"a"}"#).id.name().as_deref(), Some("a"), "a key written with escapes");
}

#[test]
fn any_type_stands_anywhere_and_says_nothing_where_it_is_wrong() {
    for value in ["null", "true", "1", "-1", "1.5", "\"x\"", "[1,[2]]", "{\"a\":{}}"] {
        let text = format!("{{\"pairs\":{value},\"items\":{value},\"id\":{value},\"other\":{value}}}");
        let read = sample(&text);
        let is_list = value.starts_with('[');
        assert_eq!(read.items.is_wrong, !is_list && value != "null", "{value}");
        assert_eq!(read.items.wrong_item, is_list.then_some(0), "{value}");
        let is_wrong = serde_json::from_str::<Sample<'_>>(value).unwrap().is_wrong;
        assert_eq!(is_wrong, !value.starts_with('{') && value != "null", "{value}");
    }
}

#[test]
fn pairs_are_an_object_or_a_list_of_pairs() {
    for text in [r#"{"pairs":{"A":"1","b":2}}"#, r#"{"pairs":[["A","1"],["b",2,3],["c"],[],5,[{},"x"]]}"#] {
        let read = sample(text);
        assert_eq!(read.pairs.0.len(), 2, "{text}");
        assert_eq!(read.pairs.get("a").and_then(Value::name).as_deref(), Some("1"), "{text}");
        assert_eq!(read.pairs.get("b").and_then(Value::whole), Some(2), "{text}");
    }
}

#[test]
fn a_list_keeps_what_says_something_and_no_more_than_its_limit() {
    let read = |items: &str| {
        let text = format!("{{\"items\":[{items}]}}");
        let items = sample(&text).items;
        (items.items.len(), items.is_cut)
    };
    assert_eq!(read("{},".repeat(KEPT_MAX * 4).trim_end_matches(',')), (0, false));
    assert_eq!(read("{\"name\":1},".repeat(KEPT_MAX).trim_end_matches(',')), (KEPT_MAX, false));
    assert_eq!(read("{\"name\":1},".repeat(KEPT_MAX + 9).trim_end_matches(',')), (KEPT_MAX, true));
}

#[test]
fn values_are_what_they_can_be_taken_for() {
    let value = |text: &'static str| serde_json::from_str::<Value<'_>>(text).unwrap();
    assert_eq!(value("\" 7 \"").whole(), Some(7));
    assert_eq!(value("-7").whole(), None);
    assert_eq!(value("18446744073709551615").whole(), Some(u64::MAX));
    assert_eq!(value("99").status(), None);
    assert_eq!(value("\"422\"").status(), Some(422));
    assert_eq!(value("\"TRUE\"").truth(), Some(true));
    assert_eq!(value("\"NaN\"").number(), None);
    assert_eq!(value("[\"a b\",1,\"c\"]").scopes(), ["a b", "c"]);
    assert_eq!(value("\"a b, c\"").scopes(), ["a", "b", "c"]);
    assert_eq!(value("\"  \"").name(), None);
}

#[test]
fn times_are_seconds_or_dates_and_zero_says_nothing() {
    let time = |text: &'static str| serde_json::from_str::<Value<'_>>(text).unwrap().time().map(|time| time.0);
    assert_eq!(time("1795331557.6179326"), Some(1_795_331_557_618));
    assert_eq!(time("1795331557"), Some(1_795_331_557_000));
    assert_eq!(time("\"1795331557.5\""), Some(1_795_331_557_500));
    assert_eq!(time("\"2026-11-22T07:12:37.618Z\""), Some(1_795_331_557_618));
    for text in
        ["0", "-1", "0.0", "1e300", "\"\"", "\"0001-01-01\"", "\"T\"", "null", "true", "[]", "18446744073709551615"]
    {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn halves_of_surrogate_pairs_are_mended_and_nothing_else() {
    let check = |text: &str, expected: &str| assert_eq!(mended(text), expected, "{text}");
    check(r"a\ud800b", r"a\ufffdb");
    check(r"\udc00\ud800\ud83d\ude00", r"\ufffd\ufffd\ud83d\ude00");
    check(r"\\ud800", r"\\ud800");
    check(r"\\\ud800\", r"\\\ufffd\");
    check(r"\ud800\", r"\ufffd\");
    check(r"\ud80", r"\ud80");
    check("\\é\\u00e9", "\\é\\u00e9");
}

proptest! {
    #[test]
    fn any_text_of_utf_16_units_is_read_once_it_is_mended(units in prop::collection::vec(any::<u16>(), 0..20)) {
        let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let text = format!("\"{}\"", escapes.concat());
        let read: String = serde_json::from_str(&mended(&text)).unwrap();
        prop_assert_eq!(read, String::from_utf16_lossy(&units));
    }
}
