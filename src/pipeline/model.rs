//! Reading of model files (`models/*.toml`): all faults at once, each with its place.
//!
//! Reads TOML text, gives checked tables, or typed values, to the models that know the meaning ([`super::classify`],
//! [`super::enrich`]; [`super::cluster`], [`super::judge`]); never opens a file. Models are written by the operator, not by strangers; still a file is at most
//! [`MODEL_BYTES_MAX`] long and at most [`FAULTS_MAX`] faults are listed.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Longest model text that is read, in bytes: the built-in ones have some 20 kB.
pub const MODEL_BYTES_MAX: usize = 1 << 20;

/// Most faults that are listed: enough to mend a file, not enough to fill a log.
pub const FAULTS_MAX: usize = 100;

/// One fault of a model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFault {
    /// Where: `outer[3].pattern`.
    pub place: String,
    /// What is wrong and what would be right.
    pub fault: String,
}

impl fmt::Display for ModelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// A model that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    /// All faults in the order of the file, at least one.
    pub faults: Vec<ModelFault>,
}

impl std::error::Error for ModelError {}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model has {} fault(s)", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "; {fault}"))
    }
}

/// Faults found so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<ModelFault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, place: impl Into<String>, fault: impl fmt::Display) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(ModelFault { place: place.into(), fault: fault.to_string() });
        }
    }

    /// `value`, if there was no fault.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, ModelError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(ModelError { faults: self.0 }),
        }
    }
}

/// One table of a model file and where it stands.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table,
    place: String,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn whole(table: &'a Table) -> Self {
        Self { table, place: String::new() }
    }

    /// The place of `key`, as faults name it.
    pub fn place(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// Notes every key that is not among `known`.
    pub fn only(&self, known: &[&str], faults: &mut Faults) {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            faults.add(self.place(key), format_args!("unknown key; known are {}", known.join(", ")));
        }
    }

    /// The value of `key`, if there is one; a value of a wrong kind is a fault.
    pub fn optional<T: DeserializeOwned>(&self, key: &str, faults: &mut Faults) -> Option<T> {
        let value = self.table.get(key)?;
        match value.clone().try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                faults.add(self.place(key), error.to_string().trim());
                None
            }
        }
    }

    /// The value of `key`; its absence is a fault.
    pub fn required<T: DeserializeOwned>(&self, key: &str, faults: &mut Faults) -> Option<T> {
        if !self.table.contains_key(key) {
            faults.add(self.place(key), "missing");
        }
        self.optional(key, faults)
    }

    /// The tables of `[[key]]`; an absent key has none, anything else than tables is a fault.
    pub fn sections(&self, key: &str, faults: &mut Faults) -> Vec<Section<'a>> {
        let entries = match self.table.get(key) {
            None => &[],
            Some(Value::Array(entries)) => entries.as_slice(),
            Some(_) => {
                faults.add(self.place(key), "a list of tables is needed: [[…]]");
                &[]
            }
        };
        let mut sections = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let place = self.place(&format!("{key}[{index}]"));
            match entry {
                Value::Table(table) => sections.push(Section { table, place }),
                _ => faults.add(place, "a table is needed"),
            }
        }
        sections
    }
}

/// Parses TOML; a text that is not TOML is one fault with its line.
pub fn table(text: &str) -> Result<Table, ModelError> {
    typed(text)
}

/// Parses TOML into a type; where the text is no TOML, or a key is missing, unknown or of another kind, that is one
/// fault with its line.
pub fn typed<T: DeserializeOwned>(text: &str) -> Result<T, ModelError> {
    let fault = |fault: String| ModelError { faults: vec![ModelFault { place: "the whole text".to_owned(), fault }] };
    if text.len() > MODEL_BYTES_MAX {
        return Err(fault(format!("longer than {MODEL_BYTES_MAX} bytes")));
    }
    toml::from_str(text).map_err(|error| fault(error.to_string().trim().to_owned()))
}
