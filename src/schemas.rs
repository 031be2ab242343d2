//! The contracts of panicsift as JSON Schemas, written from the Rust types.
//!
//! Every contract has one line in [`schemas`]; `panicsift schema --write schemas` writes them, and a test compares the
//! committed files. Each schema's `$id` is `urn:panicsift:schema:NAME`: a name that never moves, and no address. Pure.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::pipeline::alert::Alert;
use crate::pipeline::decode::contract::{dead_letter_schema, panic_event_schema, request_totals_schema};

/// Every contract: its name (the file is `NAME.json`) and its schema, as JSON Schema 2020-12.
pub fn schemas() -> Vec<(&'static str, Value)> {
    [
        ("panic-event.v1", panic_event_schema()),
        ("request-totals.v1", request_totals_schema()),
        ("dead-letter.v1", dead_letter_schema()),
        (Alert::SCHEMA, alert_schema()),
        ("config.v1", crate::config::schema()),
    ]
    .into_iter()
    .map(|(name, schema)| (name, identified(name, schema)))
    .collect()
}

/// A schema as it is printed and committed: indented, with a line end.
pub fn render(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// The schema of an alert as it is written: every key is always there, `null` where nothing is known.
fn alert_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Alert>().to_value();
    if let Some(name) = schema.pointer_mut("/properties/schema").and_then(Value::as_object_mut) {
        name.insert("const".to_owned(), json!(Alert::SCHEMA));
    }
    schema
}

fn identified(name: &str, mut schema: Value) -> Value {
    if let Some(keys) = schema.as_object_mut() {
        keys.insert("$id".to_owned(), json!(format!("urn:panicsift:schema:{name}")));
    }
    schema
}
