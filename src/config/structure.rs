//! The form of a configuration: checks a parsed TOML file against the JSON Schema and words what is wrong.
//!
//! Takes the TOML value, gives the file structs and every fault of form. A part that is wrong is taken out and noted, so
//! that the parts beside it are still read and the semantic pass can tell its faults in the same go. Pure. Nesting is
//! bounded by the TOML parser.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use super::fault::{Faults, KeyPath, Segment, nearest, plain};
use super::file::FileConfig;

/// What a secret must look like, wherever one is expected.
pub(super) const SECRET_FORMS: &str =
    "a secret is written { file = \"path\" } or { env = \"NAME\" }, never as plain text";

/// The schema of the file, without references, and without `null`, which TOML does not have.
pub(super) fn schema() -> Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<FileConfig>().to_value();
    without_null(&mut schema);
    schema
}

/// Reads the file structs out of a TOML value. Parts with a fault are left out and noted.
pub(super) fn read(table: toml::Table, faults: &mut Faults) -> Option<FileConfig> {
    let schema = schema();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => {
            faults.push(KeyPath::default(), format!("the schema itself is faulty: {error}"), "report this as a bug");
            return None;
        }
    };
    let mut json = json(toml::Value::Table(table));
    note(&validator, &schema, &json, faults);
    let paths: Vec<KeyPath> = faults.paths().cloned().collect();
    for path in &paths {
        take_out(&mut json, &path.0);
    }
    // What still does not fit (an item of an array was taken out, say) goes with its whole section. A required key that
    // is missing is no reason: the structs can be without it.
    let sections: Vec<KeyPath> = validator
        .iter_errors(&json)
        .filter(|error| !only_missing(error))
        .map(|error| section(&key_path(&error)))
        .collect();
    for path in &sections {
        take_out(&mut json, &path.0);
    }
    match serde_json::from_value(json) {
        Ok(config) => Some(config),
        Err(error) => {
            if paths.is_empty() {
                faults.push(KeyPath::default(), plain(&error.to_string()), "see `panicsift schema config.v1`");
            }
            None
        }
    }
}

/// Whether a required key is all that is missing, of a table whose kind is known.
fn only_missing(error: &ValidationError<'_>) -> bool {
    let required = |error: &ValidationError<'_>| matches!(error.kind(), Kind::Required { .. });
    match error.kind() {
        Kind::OneOfNotValid { context } => {
            error.instance().get("kind").is_some() && context.iter().any(|errors| errors.iter().all(required))
        }
        _ => required(error),
    }
}

/// Notes every fault that the schema finds.
fn note(validator: &Validator, schema: &Value, json: &Value, faults: &mut Faults) {
    for error in validator.iter_errors(json) {
        note_one(&error, schema, faults);
    }
}

/// Words one fault.
fn note_one(error: &ValidationError<'_>, schema: &Value, faults: &mut Faults) {
    let path = key_path(error);
    let node = schema_node(error, schema);
    let found = found(error.instance(), node);
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known = property_names(node);
            for name in unexpected {
                faults.push(path.key(name), "unknown key", known_keys(name, &known));
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let wanted = node.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
            faults.push(path.key(name), "missing", format!("it is required: {}", allowed(wanted)));
        }
        Kind::OneOfNotValid { context } if node.get("title").and_then(Value::as_str) == Some("destination") => {
            note_destination(error.instance(), &path, (node, context, schema), faults);
        }
        _ => faults.push(path, found, allowed(node)),
    }
}

/// A destination is one of several tables, chosen by `kind`: tells the faults of the one that was meant.
fn note_destination(
    instance: &Value,
    path: &KeyPath,
    (node, context, schema): (&Value, &[Vec<ValidationError<'static>>], &Value),
    faults: &mut Faults,
) {
    let branches = node.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let kind_of = |branch: &Value| branch.pointer("/properties/kind/const").and_then(Value::as_str).map(str::to_owned);
    let kinds: Vec<String> = branches.iter().filter_map(kind_of).collect();
    if !instance.is_object() {
        faults.push(path.clone(), found(instance, &Value::Null), "a table [[destination]] is expected");
        return;
    }
    let kind = instance.get("kind");
    let chosen = kind.and_then(Value::as_str).and_then(|kind| kinds.iter().position(|known| known == kind));
    match (chosen.and_then(|place| context.get(place)), kind) {
        (Some(errors), _) => errors.iter().for_each(|error| note_one(error, schema, faults)),
        (None, None) => faults.push(path.key("kind"), "missing", format!("it is required: one of {}", list(&kinds))),
        (None, Some(kind)) => {
            faults.push(path.key("kind"), found(kind, &Value::Null), format!("one of {}", list(&kinds)));
        }
    }
}

/// The part of the schema that was not met.
fn schema_node<'s>(error: &ValidationError<'_>, schema: &'s Value) -> &'s Value {
    let pointer = error.schema_path().as_str();
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    schema.pointer(parent).unwrap_or(&Value::Null)
}

/// The place of a fault, as a key path.
fn key_path(error: &ValidationError<'_>) -> KeyPath {
    let segments = error.instance_path().segments().map(|segment| match segment {
        jsonschema::paths::LocationSegment::Index(index) => Segment::Index(index),
        jsonschema::paths::LocationSegment::Property(key) => Segment::Key(key.to_string()),
    });
    KeyPath(segments.collect())
}

/// The destination, or else the top-level section, that a path lies in.
fn section(path: &KeyPath) -> KeyPath {
    let length = if matches!(path.0.get(1), Some(Segment::Index(_))) { 2 } else { 1 };
    KeyPath(path.0.iter().take(length).cloned().collect())
}

/// What was found: type and value; of what may be a secret only the type.
fn found(value: &Value, node: &Value) -> String {
    let secret = matches!(node.get("title").and_then(Value::as_str), Some("secret" | "property"));
    let (kind, shown) = match value {
        Value::Null => ("nothing", None),
        Value::Bool(flag) => ("a boolean", Some(flag.to_string())),
        Value::Number(number) => ("a number", Some(number.to_string())),
        Value::String(text) if text.is_empty() => ("an empty text", None),
        Value::String(text) => ("a text", Some(format!("\"{}\"", plain(text)))),
        Value::Array(items) if items.is_empty() => ("an empty array", None),
        Value::Array(_) => ("an array", None),
        Value::Object(_) => ("a table", None),
    };
    match shown {
        Some(shown) if !secret => format!("found {kind} {shown}"),
        _ => format!("found {kind}"),
    }
}

/// What a part of the schema allows, in words.
fn allowed(node: &Value) -> String {
    let number = |key: &str| node.get(key).filter(|value| value.is_number()).map(ToString::to_string);
    let title = node.get("title").and_then(Value::as_str);
    if title == Some("secret") {
        return SECRET_FORMS.to_owned();
    }
    if title == Some("property") {
        return format!("a text, a number, true or false is expected; {SECRET_FORMS}");
    }
    if title == Some("addresses") {
        return "an address, or an array of 1 to 32 addresses, is expected".to_owned();
    }
    let choices = choices(node);
    if !choices.is_empty() {
        return format!("one of {}", list(&choices));
    }
    match (node.get("type").and_then(Value::as_str), number("minimum"), number("maximum")) {
        (Some("integer"), Some(low), Some(high)) => format!("a whole number from {low} to {high} is expected"),
        (Some("number"), Some(low), Some(high)) => format!("a number from {low} to {high} is expected"),
        (Some("integer"), ..) => "a whole number is expected".to_owned(),
        (Some("number"), ..) => "a number is expected".to_owned(),
        (Some("boolean"), ..) => "true or false is expected".to_owned(),
        (Some("object"), ..) => "a table is expected".to_owned(),
        (Some("array"), ..) => format!("an array of {} is expected", lengths(node, "Items", "texts")),
        (Some("string"), ..) => format!("a text of {} is expected", lengths(node, "Length", "characters")),
        _ => "see `panicsift schema config.v1`".to_owned(),
    }
}

/// `1 to 64 characters`, or how else the bounds stand.
fn lengths(node: &Value, of: &str, unit: &str) -> String {
    let bound = |edge: &str| node.get(format!("{edge}{of}")).and_then(Value::as_u64);
    match (bound("min"), bound("max")) {
        (Some(low), Some(high)) => format!("{low} to {high} {unit}"),
        (Some(low), None) => format!("at least {low} {unit}"),
        (None, Some(high)) => format!("at most {high} {unit}"),
        (None, None) => unit.to_owned(),
    }
}

/// The values of an enumeration, in both forms in which schemars writes one.
fn choices(node: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let constant = |branch: &Value| branch.get("const").and_then(text);
    let listed = node.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    let branches = node.get("oneOf").and_then(Value::as_array).into_iter().flatten().filter_map(constant);
    listed.chain(branches).chain(constant(node)).collect()
}

/// The keys of a table.
fn property_names(node: &Value) -> Vec<&str> {
    node.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// What to write in place of an unknown key.
fn known_keys(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// `"a", "b", "c"`.
fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Takes a part out: a key from its table, an item of an array by `null`, which keeps the places of the others.
fn take_out(json: &mut Value, path: &[Segment]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut node = json;
    for segment in parents {
        let next = match segment {
            Segment::Key(key) => node.get_mut(key),
            Segment::Index(index) => node.get_mut(index),
        };
        let Some(next) = next else { return };
        node = next;
    }
    match last {
        Segment::Key(key) => {
            node.as_object_mut().map(|table| table.remove(key));
        }
        Segment::Index(index) => {
            if let Some(item) = node.get_mut(index) {
                *item = Value::Null;
            }
        }
    }
}

/// TOML as JSON. Dates become texts; numbers that JSON does not have become texts and so a fault of type.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect::<Map<_, _>>())
        }
    }
}

/// Takes the alternative `null` out of our own schema: an optional key is left out in TOML.
fn without_null(schema: &mut Value) {
    let is_null = |branch: &Value| branch.get("type").and_then(Value::as_str) == Some("null");
    if let Some(table) = schema.as_object_mut() {
        if let Some(Value::Array(kinds)) = table.get_mut("type") {
            kinds.retain(|kind| kind.as_str() != Some("null"));
            if let [only] = kinds.as_slice() {
                let only = only.clone();
                table.insert("type".to_owned(), only);
            }
        }
        if table.get("default").is_some_and(Value::is_null) {
            table.remove("default");
        }
        if let Some(Value::Array(branches)) = table.get_mut("anyOf") {
            branches.retain(|branch| !is_null(branch));
            if let [Value::Object(only)] = branches.as_slice() {
                let only = only.clone();
                table.remove("anyOf");
                for (key, value) in only {
                    table.entry(key).or_insert(value);
                }
            }
        }
    }
    match schema {
        Value::Object(table) => table.values_mut().for_each(without_null),
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
