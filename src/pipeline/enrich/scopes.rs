//! `models/scopes.toml`: scope name → read, write, admin.
//!
//! A small pattern language (exact, prefix, suffix, verb, segment, family), explained in the file's own head, and no
//! guessing beyond it. Reads TOML text, gives a [`ScopeModel`] or every fault. A name is one text as it comes: a
//! permission of Cloudflare has spaces in it, and splitting lists is the decoder's work.
//!
//! Cost of a question: one hash lookup a way or part of the name, a scan over the few prefixes and suffixes.

use std::collections::HashMap;

use super::super::model::{self, Faults, ModelError, Section};
use super::ScopeTier;

/// The model that the program carries.
const BUILTIN_TEXT: &str = include_str!("../../../models/scopes.toml");

/// The knowledge that scopes are tiered with. Immutable; made once, shared by reference.
#[derive(Debug, Clone, Default)]
pub struct ScopeModel {
    version: String,
    exact: HashMap<String, ScopeTier>,
    prefix: Vec<(String, ScopeTier)>,
    suffix: Vec<(String, ScopeTier)>,
    verb: HashMap<String, ScopeTier>,
    segment: HashMap<String, ScopeTier>,
    family: Vec<(String, ScopeTier)>,
}

/// The ways to give names a tier, in the order in which they are tried.
const WAYS: [&str; 6] = ["exact", "prefix", "suffix", "verb", "segment", "family"];

impl ScopeModel {
    /// Reads a model; all faults of it at once.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let table = model::table(text)?;
        let file = Section::whole(&table);
        let mut faults = Faults::default();
        file.only(&["version", "scope"], &mut faults);
        let version = file.required("version", &mut faults).unwrap_or_default();
        let mut ways: [HashMap<String, ScopeTier>; WAYS.len()] = Default::default();
        for section in file.sections("scope", &mut faults) {
            section.only(&["tier", "exact", "prefix", "suffix", "verb", "segment", "family"], &mut faults);
            let tier = section.required("tier", &mut faults).unwrap_or_default();
            if matches!(tier, ScopeTier::None | ScopeTier::Unknown) {
                faults.add(section.place("tier"), "read, write or admin is needed");
            }
            for (way, known) in WAYS.into_iter().zip(&mut ways) {
                for name in section.optional::<Vec<String>>(way, &mut faults).unwrap_or_default() {
                    add(&section, way, known, (name, tier), &mut faults);
                }
            }
        }
        let [exact, prefix, suffix, verb, segment, family] = ways;
        faults.into_result(Some(Self {
            version,
            exact,
            prefix: longest_first(prefix),
            suffix: longest_first(suffix),
            verb,
            segment,
            family: longest_first(family),
        }))
    }

    /// The model that the program carries. A test holds that it has no fault.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(BUILTIN_TEXT)
    }

    /// The model's version, stamped on alerts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How far one scope reaches; [`ScopeTier::Unknown`] when nothing in the model matches.
    pub fn tier(&self, scope: &str) -> ScopeTier {
        let name = scope.to_lowercase();
        let starts = |known: &[(String, ScopeTier)]| {
            known.iter().find(|(prefix, _)| name.starts_with(prefix.as_str())).map(|(_, tier)| *tier)
        };
        let ends = || self.suffix.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, tier)| *tier);
        let verbs = || action_words(scope).find_map(|word| self.verb.get(&word.to_lowercase()).copied());
        let segments =
            || name.rsplit(['.', ':', '/', '=', '_', '-', ' ']).find_map(|part| self.segment.get(part).copied());
        let known = self.exact.get(&name).copied().or_else(|| starts(&self.prefix)).or_else(ends);
        known.or_else(verbs).or_else(segments).or_else(|| starts(&self.family)).unwrap_or(ScopeTier::Unknown)
    }
}

/// The words of the action of an AWS-like name: `Get`, `Object` of `s3:GetObject`; none where the name is not of that
/// form (a service in small letters, one colon, an action that starts with a capital).
fn action_words(scope: &str) -> impl Iterator<Item = &str> {
    let is_service = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let action = scope.split_once(':').filter(|(service, action)| is_service(service) && !action.contains(':'));
    let action = action.map_or("", |(_, action)| action);
    let action = if action.starts_with(|c: char| c.is_ascii_uppercase()) { action } else { "" };
    let mut rest = action;
    std::iter::from_fn(move || {
        let end = rest.char_indices().skip(1).find(|(_, c)| !c.is_ascii_lowercase()).map_or(rest.len(), |(at, _)| at);
        let (word, behind) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
        rest = behind;
        Some(word)
    })
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

#[cfg(test)]
mod tests;
