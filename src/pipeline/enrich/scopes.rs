//! `models/scopes.toml`: scope name → read, write, admin.
//!
//! A small pattern language (exact, prefix, suffix, segment), explained in the file's own head, and no guessing beyond
//! it. Reads TOML text, gives a [`ScopeModel`] or every fault. Cost of a question: one hash lookup a way, a scan over the
//! few prefixes and suffixes.

use std::collections::HashMap;

use super::super::model::{self, Faults, ModelError, Section};
use super::ScopeTier;

/// The model that the program carries.
const BUILTIN: &str = include_str!("../../../models/scopes.toml");

/// The knowledge that scopes are tiered with. Immutable; made once, shared by reference.
#[derive(Debug, Clone, Default)]
pub struct ScopeModel {
    version: String,
    exact: HashMap<String, ScopeTier>,
    prefix: Vec<(String, ScopeTier)>,
    suffix: Vec<(String, ScopeTier)>,
    segment: HashMap<String, ScopeTier>,
}

impl ScopeModel {
    /// Reads a model; all faults of it at once.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let table = model::table(text)?;
        let file = Section::whole(&table);
        let mut faults = Faults::default();
        file.only(&["version", "scope"], &mut faults);
        let version = file.required("version", &mut faults).unwrap_or_default();
        let mut ways: [HashMap<String, ScopeTier>; 4] = Default::default();
        for section in file.sections("scope", &mut faults) {
            section.only(&["tier", "exact", "prefix", "suffix", "segment"], &mut faults);
            let tier = section.required("tier", &mut faults).unwrap_or_default();
            if matches!(tier, ScopeTier::None | ScopeTier::Unknown) {
                faults.add(section.place("tier"), "read, write or admin is needed");
            }
            for (way, known) in ["exact", "prefix", "suffix", "segment"].into_iter().zip(&mut ways) {
                for name in section.optional::<Vec<String>>(way, &mut faults).unwrap_or_default() {
                    add(&section, way, known, (name, tier), &mut faults);
                }
            }
        }
        let [exact, prefix, suffix, segment] = ways;
        faults.into_result(Some(Self {
            version,
            exact,
            prefix: longest_first(prefix),
            suffix: longest_first(suffix),
            segment,
        }))
    }

    /// The model that the program carries. A test holds that it has no fault.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(BUILTIN)
    }

    /// The model's version, stamped on alerts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How far one scope reaches; [`ScopeTier::Unknown`] when nothing in the model matches.
    pub fn tier(&self, scope: &str) -> ScopeTier {
        let name = scope.to_lowercase();
        let starts = || self.prefix.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, tier)| *tier);
        let ends = || self.suffix.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, tier)| *tier);
        let segments = || name.rsplit(['.', ':', '/', '_', '-', ' ']).find_map(|part| self.segment.get(part).copied());
        self.exact.get(&name).copied().or_else(starts).or_else(ends).or_else(segments).unwrap_or(ScopeTier::Unknown)
    }
}

fn add(
    section: &Section<'_>,
    way: &str,
    known: &mut HashMap<String, ScopeTier>,
    (name, tier): (String, ScopeTier),
    faults: &mut Faults,
) {
    if name.is_empty() {
        faults.add(section.place(way), "an empty text matches everything");
    }
    if known.insert(name.to_lowercase(), tier).is_some() {
        faults.add(section.place(way), format_args!("{name:?} stands twice"));
    }
}

/// The longer text first; equal lengths in the order of the alphabet, so that the order is the same every time.
fn longest_first(patterns: HashMap<String, ScopeTier>) -> Vec<(String, ScopeTier)> {
    let mut patterns: Vec<_> = patterns.into_iter().collect();
    patterns.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    patterns
}
