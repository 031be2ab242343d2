//! What log agents put around a program's lines, and what it says of where they came from.
//!
//! Reads a whole record; gives [`LogText`]s. Known by their keys, not by a setting: Fluent Bit (`log`, `stream`, `time`,
//! `date`, `kubernetes`), Vector (`message`, `timestamp`, `host`, `file`, `kubernetes`), Docker's json-file (`log`,
//! `stream`, `time`), journald (`MESSAGE`, also as an array of bytes, `_PID`, `_HOSTNAME`, `_SYSTEMD_UNIT`,
//! `__REALTIME_TIMESTAMP`), the Kubernetes CRI line (`TIME stderr F TEXT`; `P`: it goes on), syslog by RFC 5424, and
//! plain text. A record may hold one object, an array of them, or several one after another.
//!
//! Never: a refusal of text that is not UTF-8 (it is shown with U+FFFD), a value in a refusal's words. Limits:
//! [`ITEMS_MAX`] objects a record, [`NAME_BYTES_MAX`] bytes a name (longer ones are cut). Cost: one pass over the JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::LogText;
use super::json::{entries, words};
use crate::pipeline::decode::Refusal;
use crate::pipeline::event::{Millis, Reason};

/// Most objects of one record: agents send some hundreds at once.
const ITEMS_MAX: usize = 4_096;

/// Most bytes of a name of pod, unit, host or file.
const NAME_BYTES_MAX: usize = 256;

/// From this length on, a line of Docker without its line end is the beginning of a longer one.
const DOCKER_SPLIT_BYTES: usize = 16 << 10;

/// Keys that only a log line itself has: the object is the line, not an envelope around it.
const LINE_KEYS: [&str; 6] = ["fields", "panic.payload", "panic_event", "panic", "explanation", "target"];

/// The texts of a record.
///
/// Errors: JSON that breaks.
pub(super) fn open(payload: &[u8]) -> Result<Vec<LogText<'_>>, Refusal> {
    let body = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(lines(String::from_utf8_lossy(body), &LogText::default()));
    };
    let start = text.trim_start();
    if start.starts_with("[{") || start.starts_with("[ {") || start.starts_with("[\n") {
        return array(start);
    }
    if start.starts_with('{') { objects(start) } else { Ok(lines(Cow::Borrowed(text), &LogText::default())) }
}

fn array(text: &str) -> Result<Vec<LogText<'_>>, Refusal> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| broken(&error))?;
    bounded(items.len())?;
    Ok(items.into_iter().flat_map(|item| object(item.get())).collect())
}

fn objects(text: &str) -> Result<Vec<LogText<'_>>, Refusal> {
    let mut found = Vec::new();
    for (n_items, item) in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().enumerate() {
        bounded(n_items)?;
        match item {
            Ok(item) => found.extend(object(item.get())),
            // Text that only begins like JSON, and lines of several kinds together, are what they are.
            Err(_) if n_items > 0 || !text.starts_with("{\"") => return Ok(vec![whole(Cow::Borrowed(text))]),
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(found)
}

fn bounded(n_items: usize) -> Result<(), Refusal> {
    if n_items <= ITEMS_MAX {
        return Ok(());
    }
    let detail = format!("the record: at most {ITEMS_MAX} objects are read");
    Err(Refusal { reason: Reason::TooManyNodes, detail })
}

fn broken(error: &serde_json::Error) -> Refusal {
    let detail = format!("the record: JSON breaks at line {} column {}", error.line(), error.column());
    Refusal { reason: Reason::NotJson, detail }
}

fn whole(text: Cow<'_, str>) -> LogText<'_> {
    LogText { text, ..LogText::default() }
}

/// Where a line came from, as the keys say it.
#[derive(Default)]
struct Wire<'a> {
    texts: [Option<&'a RawValue>; 4],
    is_line: bool,
    kubernetes: Option<&'a RawValue>,
    times: [Option<&'a RawValue>; 6],
    journal_time: Option<&'a RawValue>,
    stream: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    unit: Option<Cow<'a, str>>,
    pid: Option<Cow<'a, str>>,
    identifier: Option<Cow<'a, str>>,
    container: Option<Cow<'a, str>>,
    container_id: Option<Cow<'a, str>>,
    image: Option<Cow<'a, str>>,
    file: Option<Cow<'a, str>>,
    pod: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    label_name: Option<Cow<'a, str>>,
    label_version: Option<Cow<'a, str>>,
    labels: [Option<&'a RawValue>; 2],
}

impl<'a> Wire<'a> {
    fn take(&mut self, key: &str, value: &'a RawValue) {
        const TEXTS: [&str; 4] = ["log", "message", "MESSAGE", "msg"];
        const TIMES: [&str; 6] = ["time", "timestamp", "@timestamp", "date", "ts", "_SOURCE_REALTIME_TIMESTAMP"];
        let first = |slot: &mut Option<&'a RawValue>| {
            slot.get_or_insert(value);
        };
        if let Some(slot) = TEXTS.iter().zip(&mut self.texts).find_map(|(name, slot)| (*name == key).then_some(slot)) {
            return first(slot);
        }
        if let Some(slot) = TIMES.iter().zip(&mut self.times).find_map(|(name, slot)| (*name == key).then_some(slot)) {
            return first(slot);
        }
        match key {
            "kubernetes" => first(&mut self.kubernetes),
            "__REALTIME_TIMESTAMP" => first(&mut self.journal_time),
            "stream" => self.stream = name(value),
            "host" | "hostname" | "_HOSTNAME" => self.host = self.host.take().or_else(|| name(value)),
            "_SYSTEMD_UNIT" => self.unit = name(value),
            "_PID" => self.pid = name(value),
            "SYSLOG_IDENTIFIER" => self.identifier = name(value),
            "container_name" => self.container = name(value),
            "container_id" => self.container_id = name(value),
            "image" => self.image = name(value),
            "file" => self.file = name(value),
            _ => self.is_line |= LINE_KEYS.contains(&key),
        }
    }

    fn take_kubernetes(&mut self, key: &str, value: &'a RawValue) {
        let [labels, pod_labels] = &mut self.labels;
        match key {
            "pod_name" => self.pod = name(value),
            "namespace_name" | "pod_namespace" => self.namespace = name(value),
            "container_name" => self.container = name(value),
            "container_image" => self.image = name(value),
            "container_id" => self.container_id = name(value),
            "host" | "pod_node_name" => self.host = self.host.take().or_else(|| name(value)),
            "labels" => *labels = Some(value),
            "pod_labels" => *pod_labels = Some(value),
            _ => {}
        }
    }

    fn take_label(&mut self, key: &str, value: &'a RawValue) {
        match key {
            "app.kubernetes.io/name" => self.label_name = name(value),
            "app.kubernetes.io/version" => self.label_version = name(value),
            _ => {}
        }
    }

    /// Everything but the text.
    fn settle(self) -> LogText<'a> {
        let time = self.times.into_iter().flatten().find_map(instant).or_else(|| self.journal_time.and_then(instant));
        let key = [
            &self.namespace,
            &self.pod,
            &self.container,
            &self.container_id,
            &self.unit,
            &self.pid,
            &self.host,
            &self.file,
        ]
        .map(|part| part.as_deref().unwrap_or_default())
        .join("\0");
        // A line without an envelope and a JSON line that the same program logs are of one process.
        let key = if key.trim_matches('\0').is_empty() { String::new() } else { key };
        let unit = self.unit.map(|unit| match unit {
            Cow::Borrowed(unit) => Cow::Borrowed(unit.strip_suffix(".service").unwrap_or(unit)),
            Cow::Owned(unit) => Cow::Owned(unit.trim_end_matches(".service").to_owned()),
        });
        let container = self.container.map(|name| Cow::Owned(name.trim_start_matches('/').to_owned()));
        let service = self.label_name.or(container).or(unit).or(self.identifier);
        LogText {
            process: key.into(),
            stream: self.stream.unwrap_or_default(),
            service,
            release: self.label_version.or_else(|| self.image.and_then(|image| tag(&image).map(Cow::Owned))),
            isolate: self.pod.or(self.pid),
            host: self.host,
            time,
            ..LogText::default()
        }
    }
}

/// The tag of a container's image: what follows the last colon, unless that is a port.
fn tag(image: &str) -> Option<String> {
    let name = image.split('@').next().unwrap_or(image);
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty() && !tag.contains('/')).map(str::to_owned)
}

/// The texts of one object: an envelope's, or the object itself where it is a log line.
fn object(json: &str) -> Vec<LogText<'_>> {
    let mut wire = Wire::default();
    let is_object = entries(json, &mut |key, value| wire.take(key, value)).is_ok();
    if let Some(kubernetes) = wire.kubernetes {
        // What is no object says nothing.
        drop(entries(kubernetes.get(), &mut |key, value| wire.take_kubernetes(key, value)));
    }
    for labels in wire.labels.into_iter().flatten() {
        drop(entries(labels.get(), &mut |key, value| wire.take_label(key, value)));
    }
    if !is_object {
        return Vec::new();
    }
    let text = if wire.is_line { None } else { wire.texts.into_iter().flatten().find_map(line_text) };
    let is_docker = wire.texts.first().is_some_and(Option::is_some) && wire.stream.is_some();
    let around = wire.settle();
    let Some(text) = text else { return vec![LogText { text: Cow::Borrowed(json), ..around }] };
    let is_partial = is_docker && text.len() >= DOCKER_SPLIT_BYTES && !text.ends_with('\n');
    let mut found = lines(text, &around);
    if let Some(last) = found.last_mut() {
        last.is_partial |= is_partial;
    }
    found
}

/// The text of a line: a text, an array of bytes (journald's way with bytes that do not print), or an object.
fn line_text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => words(value),
        b'{' => Some(Cow::Borrowed(json)),
        b'[' => {
            let bytes: Vec<u8> = serde_json::from_str(json).ok()?;
            Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => None,
    }
}

/// A name, bounded; a number is taken as it is written.
fn name(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    let text = match json.as_bytes().first()? {
        b'"' => words(value)?,
        b'0'..=b'9' => Cow::Borrowed(json),
        _ => return None,
    };
    (!text.trim().is_empty()).then(|| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(NAME_BYTES_MAX));
            Cow::Owned(text)
        }
    })
}

/// A time: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their
/// size. 0 and what lies outside 1973 to 2286 is no time.
fn instant(value: &RawValue) -> Option<Millis> {
    let text = words(value).unwrap_or(Cow::Borrowed(value.get()));
    if let Some(time) = Millis::parse(&text) {
        return Some(time).filter(|time| time.0 > 0);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let number: i64 = whole.parse().ok()?;
    let millis = match whole.len() {
        9..=10 => {
            let millis: i64 = format!("{:0<3}", fraction.get(..3).unwrap_or(fraction)).parse().ok()?;
            number.checked_mul(1_000)?.checked_add(millis)?
        }
        12..=13 => number,
        15..=16 => number / 1_000,
        18..=19 => number / 1_000_000,
        _ => return None,
    };
    (number > 0).then_some(Millis(millis))
}

/// The lines of a text that each have a prefix of their own (CRI, syslog); else the text as it is.
fn lines<'a>(text: Cow<'a, str>, around: &LogText<'a>) -> Vec<LogText<'a>> {
    let first = text.lines().next().unwrap_or_default();
    if prefixed(first, around).is_none() {
        return vec![LogText { text, ..around.clone() }];
    }
    match text {
        Cow::Borrowed(text) => split(text, around),
        Cow::Owned(text) => split(&text, around).into_iter().map(LogText::into_owned).collect(),
    }
}

fn split<'t>(text: &'t str, around: &LogText<'t>) -> Vec<LogText<'t>> {
    let line = |line| prefixed(line, around).unwrap_or_else(|| LogText { text: Cow::Borrowed(line), ..around.clone() });
    text.lines().take(ITEMS_MAX).map(line).collect()
}

fn prefixed<'t>(line: &'t str, around: &LogText<'t>) -> Option<LogText<'t>> {
    cri(line, around).or_else(|| syslog(line, around))
}

/// `TIME stdout|stderr F|P[:…] TEXT`.
fn cri<'t>(line: &'t str, around: &LogText<'t>) -> Option<LogText<'t>> {
    if !line.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let mut parts = line.splitn(4, ' ');
    let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
    let tag = tags.split(':').next()?;
    if !matches!(stream, "stdout" | "stderr") || !matches!(tag, "F" | "P") {
        return None;
    }
    let time = Some(Millis::parse(time)?);
    let text = Cow::Borrowed(parts.next().unwrap_or_default());
    Some(LogText { text, time, stream: Cow::Borrowed(stream), is_partial: tag == "P", ..around.clone() })
}

/// `<PRI>1 TIME HOST APP PID ID DATA TEXT`, by RFC 5424.
fn syslog<'t>(line: &'t str, around: &LogText<'t>) -> Option<LogText<'t>> {
    let (priority, rest) = line.strip_prefix('<')?.split_once(">1 ")?;
    if priority.len() > 3 || !priority.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = rest.splitn(6, ' ');
    let mut next = || parts.next();
    let (time, host, app, pid, _id, rest) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let told = |name: &'t str| (name != "-" && !name.is_empty()).then_some(name);
    let text = match rest.strip_prefix("- ") {
        Some(text) => text,
        // Data ends at a bracket that no backslash stands before; a bracket within a text has one.
        None if rest.starts_with('[') => {
            let end = rest.as_bytes().windows(2).position(|pair| pair == b"] ")?;
            rest.get(end + 2..)?
        }
        None => rest.strip_prefix('-')?,
    };
    let bounded =
        |name: &'t str| Cow::Borrowed(name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default());
    Some(LogText {
        text: Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        time: Millis::parse(time).or(around.time),
        process: [host, app, pid].map(|part| bounded(part).into_owned()).join("\0").into(),
        service: told(app).map(bounded).or_else(|| around.service.clone()),
        host: told(host).map(bounded).or_else(|| around.host.clone()),
        isolate: told(pid).map(bounded).or_else(|| around.isolate.clone()),
        ..around.clone()
    })
}

#[cfg(test)]
mod tests;
