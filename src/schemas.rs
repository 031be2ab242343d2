//! The contracts of panicsift as JSON Schemas, written from the Rust types.
//!
//! Every contract has one line in [`schemas`]; `panicsift schema --write schemas` writes them, and a test compares the
//! committed files. Pure.

use serde_json::Value;

/// Every contract: its name (the file is `NAME.json`) and its schema.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![("config.v1", crate::config::schema())]
}

/// A schema as it is printed and committed: indented, with a line end.
pub fn render(schema: &Value) -> String {
    format!("{schema:#}\n")
}
