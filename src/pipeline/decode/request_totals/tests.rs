//! What is taken for a total, in JSON and in CSV, and what is refused and why.

use serde_json::{Value, json};

use super::traffic::{Traffic, read_traffic};
use super::*;
use crate::pipeline::decode::{Decoded, Feed, decode};
use crate::pipeline::event::{Carrier, Position, RawRecord};

const START: Millis = Millis(1_789_372_800_000);

fn decoded<'a>(feed: &Feed, payload: &'a str) -> Decoded<'a> {
    let position = Position { topic: "totals", partition: 0, offset: 3 };
    let broker_time = Some(START.plus(Millis::HOUR));
    decode(feed, RawRecord { position, broker_time, headers: &[], payload: payload.as_bytes() })
}

fn record(changes: &Value) -> String {
    let mut record = json!({"window_start": "2026-09-14T08:00:00.000Z", "endpoint": "GET /v1/search",
        "service": "storefront-api", "release": "4.17.2", "requests": 12});
    for (key, value) in changes.as_object().unwrap() {
        record[key] = value.clone();
    }
    record.to_string()
}

fn totals(payload: &str) -> Vec<RequestTotal<'_>> {
    let Decoded { carrier, pieces, refusal } = decoded(&Feed::default(), payload);
    assert_eq!((carrier, refusal), (Carrier::RequestTotals, None));
    let total = |piece| if let Piece::Total(total) = piece { total } else { panic!("{piece:?}") };
    pieces.into_iter().map(total).collect()
}

#[track_caller]
fn check_refused(changes: &Value, reason: Reason, detail: &str) {
    let text = record(changes);
    let feed = Feed { carrier: Some(Carrier::RequestTotals), ..Feed::default() };
    let refusal = decoded(&feed, &text).refusal.unwrap_or_else(|| panic!("{text} is taken"));
    assert_eq!(refusal.reason, reason, "{refusal:?}");
    assert!(refusal.detail.contains(detail), "{refusal:?}");
}

#[test]
fn a_total_is_taken_alone_in_an_array_and_a_line_each() {
    let (one, other) = (record(&json!({})), record(&json!({"endpoint": "POST /v1/orders", "service": null})));
    let first = totals(&one).remove(0);
    assert_eq!((first.window_start, first.end()), (START, START.plus(5 * Millis::MINUTE)));
    assert_eq!((first.service.as_deref(), first.release.as_deref()), (Some("storefront-api"), Some("4.17.2")));
    assert_eq!((first.endpoint.as_ref(), first.tenant.as_ref(), first.requests), ("GET /v1/search", "", 12));
    for both in [format!("[{one},{other}]"), format!("{one}\n{other}\n")] {
        let both = totals(&both);
        assert_eq!(both.len(), 2);
        assert_eq!((both[1].service.as_deref(), both[1].endpoint.as_ref()), (None, "POST /v1/orders"));
    }
}

#[test]
fn the_topic_names_the_service_and_the_tenant_where_a_total_does_not() {
    let feed = Feed { service: "edge".to_owned(), tenant: "acme".to_owned(), ..Feed::default() };
    let text = record(&json!({"service": " "}));
    let Some(Piece::Total(total)) = decoded(&feed, &text).pieces.into_iter().next() else { panic!("no total") };
    assert_eq!((total.service.as_deref(), total.tenant.as_ref()), (Some("edge"), "acme"));
    let feed = Feed { service: UNNAMED_SERVICE.to_owned(), ..Feed::default() };
    let Some(Piece::Total(total)) = decoded(&feed, &text).pieces.into_iter().next() else { panic!("no total") };
    assert_eq!(total.service, None);
}

#[test]
fn what_is_no_total_is_refused_by_name() {
    check_refused(&json!({"window_start": null}), Reason::MissingKey, "window_start: a date and time");
    check_refused(&json!({"endpoint": null}), Reason::MissingKey, "endpoint: a text");
    check_refused(&json!({"requests": null}), Reason::MissingKey, "requests: a whole number");
    check_refused(&json!({"endpoint": " "}), Reason::BadValue, "endpoint: a text that is not empty");
    check_refused(&json!({"window_start": "yesterday"}), Reason::BadValue, "window_start: an RFC 3339");
    check_refused(&json!({"window_start": "2026-09-14T08:01:00Z"}), Reason::BadValue, "a multiple of five minutes");
    check_refused(&json!({"window_start": "1999-09-14T08:00:00Z"}), Reason::BadValue, "from 2000 to 2199");
    check_refused(&json!({"window_start": "2026-09-15T08:00:00Z"}), Reason::BadValue, "ahead of the record's own time");
    check_refused(&json!({"window_secs": 60}), Reason::BadValue, "windows of 300 seconds are counted");
    check_refused(&json!({"requests": -1}), Reason::BadValue, "requests: a whole number");
    check_refused(&json!({"requests": 1.5}), Reason::BadValue, "requests: a whole number");
    check_refused(&json!({"requests": 1_000_000_000_001_u64}), Reason::BadValue, "from 0 to 1000000000000");
    check_refused(&json!({"requests": "12"}), Reason::WrongType, "requests: a number");
    check_refused(&json!({"service": "s".repeat(2_000)}), Reason::TooLong, "service");
    let nan = record(&json!({})).replace("12}", "NaN}");
    let feed = Feed { carrier: Some(Carrier::RequestTotals), ..Feed::default() };
    assert_eq!(decoded(&feed, &nan.replace(":12", ":NaN")).refusal.map(|it| it.reason), Some(Reason::NotJson));
}

#[test]
fn a_bad_total_costs_the_others_of_its_record_nothing() {
    let text = format!("[{},{}]", record(&json!({"requests": -4})), record(&json!({})));
    let Decoded { pieces, refusal, .. } = decoded(&Feed::default(), &text);
    assert_eq!((pieces.len(), refusal.unwrap().detail.starts_with("item 0: requests")), (1, true));
}

fn rows(table: &str) -> Traffic {
    read_traffic(table.as_bytes()).unwrap()
}

#[test]
fn a_table_is_read_by_the_names_of_its_columns() {
    let plain = "window_start,endpoint,release,requests\n2026-09-14T08:00:00.000Z,GET /v1/search,4.17.2,12\n";
    let moved = "\u{feff} requests ,zone,release,window_secs,endpoint,tenant,window_start,service\r\n\
                 12,eu,4.17.2,300,\"GET /v1/search\",,2026-09-14T08:00:00Z,\r\n\r\n";
    let total = |table: &str| rows(table).rows.remove(0).total.unwrap();
    assert_eq!(total(plain), total(moved));
    assert_eq!((rows(moved).unread, rows(plain).unread.len()), (vec!["zone".to_owned()], 0));
    assert_eq!(rows(moved).rows.len(), 1);
}

#[test]
fn a_bad_row_is_refused_with_its_line_and_the_others_are_taken() {
    let check = |row: &str, reason: Reason, detail: &str| {
        let good = "2026-09-14T08:05:00Z,GET /a,7";
        let table = format!("window_start,endpoint,requests\n{row}\n{good}\n");
        let found = rows(&table).rows;
        let refusal = found[0].total.clone().unwrap_err();
        assert_eq!((found[0].line, refusal.reason), (2, reason), "{row}: {refusal:?}");
        assert!(refusal.detail.contains(detail), "{row}: {refusal:?}");
        assert_eq!(found[1].total.as_ref().unwrap().requests, 7);
    };
    let start = "2026-09-14T08:00:00Z";
    for number in ["-3", "NaN", "inf", "1e3", "+4", "12.0", "99999999999999999999999999", "1000000000001", "0x10"] {
        check(&format!("{start},GET /a,{number}"), Reason::BadValue, "requests: a whole number");
    }
    check(&format!("{start},GET /a,"), Reason::MissingKey, "requests");
    check(&format!("{start},,4"), Reason::MissingKey, "endpoint");
    check(",GET /a,4", Reason::MissingKey, "window_start");
    check("2026-09-14T08:02:30Z,GET /a,4", Reason::BadValue, "five minutes");
    check("1789372800,GET /a,4", Reason::BadValue, "RFC 3339");
    check(&format!("{start},GET /a"), Reason::BadValue, "2 cells, and the header has 3");
    check(&format!("{start},GET /a,4,5"), Reason::BadValue, "4 cells");
    check(&format!("{start},{},4", "a".repeat(1_025)), Reason::TooLong, "endpoint: at most 1024 bytes");
    check("window_start,endpoint,requests", Reason::BadValue, "RFC 3339");
}

#[test]
fn a_table_without_the_columns_that_are_needed_is_refused_whole() {
    let check = |table: &[u8], expected: &str| {
        let refusal = read_traffic(table).unwrap_err();
        assert!(refusal.detail.contains(expected), "{refusal:?}");
    };
    check(b"", "window_start, endpoint, requests is missing");
    check(b"window_start,endpoint,release\n", "and requests is missing");
    check(b"time,route,n\n", "window_start, endpoint, requests is missing");
    check(b"window_start,endpoint,requests,requests\n", "a column stands in it twice");
    check(b"2026-09-14T08:00:00Z,GET /a,4\n", "is missing");
    check(b"\xff\xfe\x00w", "is missing");
}

#[test]
fn a_cell_that_is_no_text_is_refused_and_names_of_columns_are_neutralised() {
    let table = b"window_start,endpoint,requests,\x1b[31m\xff\n2026-09-14T08:00:00Z,GET /\xff,4,\n";
    let traffic = read_traffic(table).unwrap();
    assert_eq!(traffic.rows[0].total.as_ref().unwrap_err().reason, Reason::NotUtf8);
    assert!(!traffic.unread[0].contains('\u{1b}'), "{:?}", traffic.unread);
}
