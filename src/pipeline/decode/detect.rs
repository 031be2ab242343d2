//! Which carrier a record is of, where nobody says so.
//!
//! Reads a record's headers, its topic's configuration and, when neither says anything, the names of the keys at the
//! top of its JSON (of the first item, where it is an array). All rules are here; a test holds that no record of
//! one carrier is taken for another's. Values are skipped, not read. What no rule knows is canonical, whose
//! decoder then says what is missing.
//!
//! Limits: [`KEYS_MAX`] keys are looked at. Cost: a walk to the first key that decides, most often within 100 bytes.

use super::{Feed, Refusal};
use crate::pipeline::event::{Carrier, RawRecord, Reason};

/// Keys at the top that are looked at: every carrier has one that decides among its first.
const KEYS_MAX: usize = 64;

/// How much of a record is walked through for its keys: a payload in front of the key that decides may be long.
const WALKED_BYTES_MAX: usize = 64 << 10;

/// A rule: a record is of the carrier when all of the keys stand at its top. Letters count in their case.
struct Rule {
    carrier: Carrier,
    keys: &'static [&'static str],
}

const fn rule(carrier: Carrier, keys: &'static [&'static str]) -> Rule {
    Rule { carrier, keys }
}

/// Keys that only one carrier has: the first rule that is whole decides.
const RULES: [Rule; 22] = [
    rule(Carrier::Canonical, &["ts", "event_id"]),
    rule(Carrier::Canonical, &["panic", "event_id"]),
    rule(Carrier::Canonical, &["panic", "service"]),
    rule(Carrier::CloudflareTail, &["eventTimestamp"]),
    rule(Carrier::CloudflareTail, &["scriptName", "outcome"]),
    rule(Carrier::CloudflareTail, &["diagnosticsChannelEvents"]),
    rule(Carrier::CloudflareTail, &["invocationId", "event"]),
    rule(Carrier::CloudflareLogpush, &["EventTimestampMs"]),
    rule(Carrier::CloudflareLogpush, &["ScriptName", "Outcome"]),
    rule(Carrier::CloudflareHttpRequests, &["RayID", "ClientIP"]),
    rule(Carrier::CloudflareHttpRequests, &["RayID", "EdgeStartTimestamp"]),
    rule(Carrier::CloudflareHttpRequests, &["RayID", "ClientRequestMethod"]),
    rule(Carrier::Sentry, &["event_id", "exception"]),
    rule(Carrier::Sentry, &["event_id", "platform"]),
    rule(Carrier::Sentry, &["event_id", "sent_at"]),
    rule(Carrier::Sentry, &["sdk"]),
    rule(Carrier::Sentry, &["dsn"]),
    rule(Carrier::Otlp, &["resourceLogs"]),
    rule(Carrier::Otlp, &["resourceSpans"]),
    rule(Carrier::RequestTotals, &["window_start", "requests"]),
    rule(Carrier::RequestSample, &["sample_id", "ts"]),
    rule(Carrier::RequestSample, &["sample_id", "service"]),
];

/// Keys that events and samples of ordinary requests have in common.
const OPEN_RULES: [Rule; 1] = [rule(Carrier::Canonical, &["ts", "service"])];

/// Which of the two a record with these is, by the first of these keys that follows; an event without.
const EVENT_OR_SAMPLE: [(&str, Carrier); 3] =
    [("event_id", Carrier::Canonical), ("panic", Carrier::Canonical), ("sample_id", Carrier::RequestSample)];

/// Keys that any JSON may have: they decide when no rule above was whole after all keys.
const WEAK_RULES: [Rule; 7] = [
    rule(Carrier::Text, &["panic_event"]),
    rule(Carrier::Text, &["log"]),
    rule(Carrier::Text, &["message"]),
    rule(Carrier::Text, &["MESSAGE"]),
    rule(Carrier::Text, &["msg"]),
    rule(Carrier::Text, &["fields", "level"]),
    rule(Carrier::Text, &["explanation", "cause"]),
];

/// The carrier of a record: by its header `panicsift-carrier`, by its topic, by its `content-type`, by its content.
///
/// Errors: a header that names no carrier.
pub(super) fn carrier(feed: &Feed, record: &RawRecord<'_>) -> Result<Carrier, Refusal> {
    if let Some(name) = record.header("panicsift-carrier") {
        return Carrier::named(name).ok_or_else(|| Refusal {
            reason: Reason::BadValue,
            detail: format!("the header panicsift-carrier: one of {} is needed", names()),
        });
    }
    if let Some(carrier) = feed.carrier {
        return Ok(carrier);
    }
    Ok(by_media_type(record).unwrap_or_else(|| by_content(record.payload)))
}

fn names() -> String {
    Carrier::ALL.map(Carrier::name).join(", ")
}

fn by_media_type(record: &RawRecord<'_>) -> Option<Carrier> {
    let whole = record.header("content-type")?;
    match whole.split(';').next().unwrap_or_default().trim() {
        "application/x-sentry-envelope" => Some(Carrier::Sentry),
        "application/x-protobuf" => Some(Carrier::Otlp),
        _ => None,
    }
}

/// The carrier that the content speaks for.
fn by_content(payload: &[u8]) -> Carrier {
    if is_protobuf_request(payload) {
        return Carrier::Otlp;
    }
    let body = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload).trim_ascii_start();
    let object = body.strip_prefix(b"[").map_or(body, <[u8]>::trim_ascii_start);
    if object.first() == Some(&b'{') { by_keys(object) } else { by_text(payload) }
}

/// All requests of OTLP begin with field 1, which has a length: a line feed, as text may begin, too. But text has no
/// control characters near its beginning, terminal escapes aside.
fn is_protobuf_request(payload: &[u8]) -> bool {
    const HEAD_BYTES: usize = 64;
    let is_binary = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0x1b;
    payload.first() == Some(&0x0a) && payload.iter().take(HEAD_BYTES).any(is_binary)
}

/// Whether the record is an object (or an array of objects) with the key `specversion` at its top, before any key that
/// decides for a carrier.
pub(super) fn is_cloud_event(payload: &[u8]) -> bool {
    let body = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload).trim_ascii_start();
    let object = body.strip_prefix(b"[").map_or(body, <[u8]>::trim_ascii_start);
    let (mut seen, mut seen_open) = ([0_u8; RULES.len()], [0_u8]);
    for key in TopKeys::of(object).take(KEYS_MAX) {
        if key == b"specversion" {
            return true;
        }
        if mark(&RULES, &mut seen, key).or_else(|| mark(&OPEN_RULES, &mut seen_open, key)).is_some() {
            return false;
        }
    }
    false
}

/// Plain text has no keys.
fn by_text(payload: &[u8]) -> Carrier {
    const HEAD_BYTES: usize = 4 << 10;
    const WORDS: [&[u8]; 6] = [
        b"panicked at ",
        b"fatal runtime error: ",
        b" has overflowed its stack",
        b"memory allocation of ",
        b"non-unwinding panic. aborting.",
        b"Service panicked",
    ];
    let head = payload.get(..HEAD_BYTES).unwrap_or(payload);
    let holds = |words: &&[u8]| head.windows(words.len()).any(|window| window == *words);
    if WORDS.iter().any(holds) { Carrier::Text } else { Carrier::Canonical }
}

/// Whether the first line is the headers of a Sentry envelope and the second those of an item. The SDKs write no more
/// into the first than the event's id, so that neither line alone would say it.
fn is_envelope(object: &[u8]) -> bool {
    const HEADERS: [&[u8]; 5] = [b"event_id", b"sent_at", b"dsn", b"sdk", b"trace"];
    let Some(end) = object.iter().position(|byte| *byte == b'\n') else { return false };
    let Some((head, rest)) = object.split_at_checked(end) else { return false };
    let item = rest.trim_ascii_start();
    head.trim_ascii().ends_with(b"}")
        && item.first() == Some(&b'{')
        && TopKeys::of(head).all(|key| HEADERS.contains(&key))
        && TopKeys::of(item.split(|byte| *byte == b'\n').next().unwrap_or_default()).any(|key| key == b"type")
}

fn by_keys(object: &[u8]) -> Carrier {
    if is_envelope(object) {
        return Carrier::Sentry;
    }
    let (mut seen, mut seen_open, mut seen_weak) = ([0_u8; RULES.len()], [0_u8], [0_u8; WEAK_RULES.len()]);
    let mut keys = TopKeys::of(object).take(KEYS_MAX);
    while let Some(key) = keys.next() {
        if let Some(carrier) = mark(&RULES, &mut seen, key) {
            return carrier;
        }
        if let Some(carrier) = mark(&OPEN_RULES, &mut seen_open, key) {
            let told = |key: &[u8]| EVENT_OR_SAMPLE.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, it)| *it);
            return keys.find_map(told).unwrap_or(carrier);
        }
        mark(&WEAK_RULES, &mut seen_weak, key);
    }
    let weak = WEAK_RULES.iter().zip(seen_weak).find(|(rule, seen)| is_whole(rule, *seen));
    weak.map_or(Carrier::Canonical, |(rule, _)| rule.carrier)
}

/// Marks a key in all rules that name it; the carrier of the rule that it makes whole.
fn mark(rules: &[Rule], seen: &mut [u8], key: &[u8]) -> Option<Carrier> {
    for (rule, seen) in rules.iter().zip(seen) {
        for (bit, name) in rule.keys.iter().enumerate() {
            if name.as_bytes() == key {
                *seen |= 1 << bit;
                if is_whole(rule, *seen) {
                    return Some(rule.carrier);
                }
            }
        }
    }
    None
}

fn is_whole(rule: &Rule, seen: u8) -> bool {
    u32::try_from(rule.keys.len()).is_ok_and(|n_keys| seen.count_ones() == n_keys)
}

/// The keys of a JSON object, values skipped by their brackets. Of broken JSON it gives some keys or none.
struct TopKeys<'a> {
    rest: &'a [u8],
    at_value: bool,
}

impl<'a> TopKeys<'a> {
    fn of(object: &'a [u8]) -> Self {
        let head = object.get(..WALKED_BYTES_MAX).unwrap_or(object);
        Self { rest: head.strip_prefix(b"{").unwrap_or_default(), at_value: false }
    }

    /// The text that begins at `rest` (behind its quote); leaves `rest` behind its end.
    fn text(&mut self) -> Option<&'a [u8]> {
        let mut at = 0;
        loop {
            match self.rest.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        let (text, rest) = self.rest.split_at_checked(at)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// Leaves `rest` behind the comma after the value, if there is one.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => {
                    self.text()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                b',' if depth == 0 => return Some(()),
                _ => {}
            }
        }
    }
}

impl<'a> Iterator for TopKeys<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.at_value {
            self.skip_value()?;
        }
        self.rest = self.rest.trim_ascii_start().strip_prefix(b"\"")?;
        let key = self.text()?;
        self.rest = self.rest.trim_ascii_start().strip_prefix(b":")?;
        self.at_value = true;
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, expected: Carrier) {
        assert_eq!(by_content(payload.as_bytes()), expected, "{payload}");
    }

    #[test]
    fn the_keys_at_the_top_decide() {
        check(r#"{"event_id":"1","ts":"2026-09-14T08:00:00Z","log":"x"}"#, Carrier::Canonical);
        check(r#" [ {"wallTime":0,"logs":[{"ts":1}],"eventTimestamp":1} ]"#, Carrier::CloudflareTail);
        check(r#"{"EventTimestampMs":1,"Event":{}}"#, Carrier::CloudflareLogpush);
        check(r#"{"ClientIP":"203.0.113.9","RayID":"8f0a"}"#, Carrier::CloudflareHttpRequests);
        check("{\"event_id\":\"6207\",\"sent_at\":\"x\"}\n{\"type\":\"event\"}\n{}", Carrier::Sentry);
        check("{\"event_id\":\"6207\"}\n{\"type\":\"event\"}\n{}", Carrier::Sentry);
        check("{}\n{\"length\":2,\"type\":\"client_report\"}\n{}", Carrier::Sentry);
        check("{\"event_id\":\"6207\"}\n{\"event_id\":\"6208\"}", Carrier::Canonical);
        check("{\"log\":\"x\"}\n{\"type\":\"event\"}", Carrier::Text);
        check(r#"{"message":"x","event_id":"6207","platform":"native"}"#, Carrier::Sentry);
        check(r#"{"resourceLogs":[]}"#, Carrier::Otlp);
        check(r#"[{"requests":4,"window_start":"2026-09-14T08:00:00Z"}]"#, Carrier::RequestTotals);
        check(r#"{"ts":1,"service":"x","window_start":1,"requests":4}"#, Carrier::Canonical);
        check(r#"{"sample_id":"1","ts":"x","service":"y"}"#, Carrier::RequestSample);
        check(r#"{"ts":"x","service":"y","client":{"ip":1},"sample_id":"1"}"#, Carrier::RequestSample);
        check(r#"{"ts":"x","service":"y","sample_rate":1,"event_id":"1","sample_id":"1"}"#, Carrier::Canonical);
        check(r#"{"panic":{},"ts":"x","service":"y","sample_id":"1"}"#, Carrier::Canonical);
        check(r#"{"log":"thread 'main' panicked at src/main.rs:1:1:"}"#, Carrier::Text);
        check("thread 'main' panicked at src/main.rs:1:1:\nboom", Carrier::Text);
        check(r#"{"panic_event":{"ts":1,"event_id":"x"}}"#, Carrier::Text);
        check("2026-11-21T05:20:00Z stderr F memory allocation of 12 bytes failed", Carrier::Text);
    }

    #[test]
    fn a_request_in_protobuf_is_no_text_that_begins_with_a_line_feed() {
        check("\n{\u{0}\u{1}", Carrier::Otlp);
        check("\n\u{1b}[31mthread 'main' panicked at src/main.rs:1:1:\nboom", Carrier::Text);
        check("\n{\"resourceLogs\":[]}", Carrier::Otlp);
        check("\n{\"log\":\"x\"}", Carrier::Text);
    }

    #[test]
    fn a_cloud_event_is_known_by_its_version_before_any_carriers_key() {
        assert!(is_cloud_event(br#"{"id":"1","data":{"sdk":1,"ts":1},"specversion":"1.0"}"#));
        assert!(is_cloud_event(br#" [{"specversion":"1.0"}]"#));
        assert!(!is_cloud_event(br#"{"event_id":"1","ts":"x","specversion":"1.0"}"#));
        assert!(!is_cloud_event(br#"{"data":{"specversion":"1.0"}}"#));
        assert!(!is_cloud_event(b"\n\x01specversion"));
    }

    #[test]
    fn keys_within_values_and_texts_do_not_decide() {
        check(r#"{"a":{"resourceLogs":[]},"b":"\",\"resourceSpans\":1"}"#, Carrier::Canonical);
        check(r#"{"a":["x","]}",{"sdk":1}],"log":"y"}"#, Carrier::Text);
    }

    #[test]
    fn what_no_rule_knows_is_canonical_and_broken_json_does_no_harm() {
        for payload in
            ["", "{", "[", "{\"", "{\"a", "{\"a\\", "{\"a\":", "{\"a\":}", "{]", "[1]", "null", "ordinary words"]
        {
            check(payload, Carrier::Canonical);
        }
    }
}
