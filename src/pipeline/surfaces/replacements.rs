//! `models/replacements.toml`: what to write in place of code that panics, in the two phases of a migration.
//!
//! Reads TOML text and gives a [`Replacements`], or every fault of it; a class that has no entry is told that of its
//! surface. Texts are bounded single lines ([`TEXT_BYTES_MAX`]), for people; no code acts on them.

use std::collections::BTreeMap;

use crate::pipeline::classify::Surface;
use crate::pipeline::model::{self, Faults, ModelError, Section};
use crate::pipeline::neutral;

/// The model that the program carries.
const BUILTIN: &str = include_str!("../../../models/replacements.toml");

/// Longest text of an entry, in bytes: two lines of a wide table.
pub const TEXT_BYTES_MAX: usize = 300;

/// Every surface: each needs an entry, so that every class has an answer.
pub const SURFACES: [Surface; 9] = [
    Surface::UnwrapExpect,
    Surface::Deserialization,
    Surface::Bounds,
    Surface::Arithmetic,
    Surface::StateInvariant,
    Surface::Ffi,
    Surface::Resource,
    Surface::Environment,
    Surface::Unknown,
];

/// What to write instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacement {
    /// First phase: contain the fault and give it a type.
    pub phase1: String,
    /// Second phase: make the state unrepresentable.
    pub phase2: String,
    /// Before and after, one line.
    pub example: String,
}

/// The table of replacements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacements {
    version: String,
    by_class: BTreeMap<String, Replacement>,
    by_surface: BTreeMap<Surface, Replacement>,
    none: Replacement,
}

impl Replacements {
    /// Reads a model; all faults of it at once.
    ///
    /// # Errors
    /// Text that is no TOML, unknown or missing keys, texts that are empty, too long or no single printable line,
    /// entries that come twice, a surface without an entry.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let table = model::table(text)?;
        let file = Section::whole(&table);
        let mut faults = Faults::default();
        file.only(&["version", "surface", "class"], &mut faults);
        let version = file.required::<String>("version", &mut faults).unwrap_or_default();
        let by_class = entries::<String>(&file, "class", &mut faults);
        let by_surface = entries::<Surface>(&file, "surface", &mut faults);
        for missing in SURFACES.iter().filter(|surface| !by_surface.contains_key(surface)) {
            faults.add("surface", format_args!("an entry for {} is missing", surface_name(*missing)));
        }
        faults.into_result(Some(Self { version, by_class, by_surface, none: Replacement::default() }))
    }

    /// The model that the program carries. A test holds that it has no fault.
    ///
    /// # Errors
    /// As [`Replacements::parse`]; none.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(BUILTIN)
    }

    /// The model's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a class has an entry of its own.
    pub fn knows(&self, class: &str) -> bool {
        self.by_class.contains_key(class)
    }

    /// What to write in place of code that panics in this way.
    pub fn of(&self, class: &str, surface: Surface) -> &Replacement {
        self.by_class.get(class).or_else(|| self.by_surface.get(&surface)).unwrap_or(&self.none)
    }
}

/// The name of a surface as data carries it.
pub fn surface_name(surface: Surface) -> &'static str {
    match surface {
        Surface::UnwrapExpect => "unwrap_expect",
        Surface::Deserialization => "deserialization",
        Surface::Bounds => "bounds",
        Surface::Arithmetic => "arithmetic",
        Surface::StateInvariant => "state_invariant",
        Surface::Ffi => "ffi",
        Surface::Resource => "resource",
        Surface::Environment => "environment",
        Surface::Unknown => "unknown",
    }
}

/// The tables of `[[key]]` by their id.
fn entries<I: Ord + serde::de::DeserializeOwned>(
    file: &Section<'_>,
    key: &str,
    faults: &mut Faults,
) -> BTreeMap<I, Replacement> {
    let mut entries = BTreeMap::new();
    for section in file.sections(key, faults) {
        section.only(&["id", "phase1", "phase2", "example"], faults);
        let [phase1, phase2, example] = ["phase1", "phase2", "example"].map(|key| line(&section, key, faults));
        if let Some(id) = section.required::<I>("id", faults)
            && entries.insert(id, Replacement { phase1, phase2, example }).is_some()
        {
            faults.add(section.place("id"), "stands twice");
        }
    }
    entries
}

fn line(section: &Section<'_>, key: &str, faults: &mut Faults) -> String {
    let text = section.required::<String>(key, faults);
    if let Some(text) = &text {
        if text.trim().is_empty() {
            faults.add(section.place(key), "a text is needed");
        } else if neutral::line(text, TEXT_BYTES_MAX) != text.as_str() {
            faults.add(
                section.place(key),
                format_args!("one printable line of at most {TEXT_BYTES_MAX} bytes is needed"),
            );
        }
    }
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PANICS: &str = include_str!("../../../models/panics.toml");

    fn classes() -> Vec<(String, Surface)> {
        let table = model::table(PANICS).unwrap();
        let mut faults = Faults::default();
        let class = |section: &Section<'_>, faults: &mut Faults| {
            (section.required("id", faults).unwrap(), section.required("surface", faults).unwrap())
        };
        Section::whole(&table).sections("class", &mut faults).iter().map(|s| class(s, &mut faults)).collect()
    }

    #[test]
    fn every_class_has_a_replacement_and_every_replacement_a_class() {
        let replacements = Replacements::builtin().unwrap();
        let classes = classes();
        assert!(classes.len() >= 72, "{}", classes.len());
        for (class, surface) in &classes {
            let told = replacements.of(class, *surface);
            assert!(!told.phase1.is_empty() && !told.phase2.is_empty() && !told.example.is_empty(), "{class}");
        }
        let known: BTreeSet<&str> = classes.iter().map(|(class, _)| class.as_str()).collect();
        let orphans: Vec<&String> = replacements.by_class.keys().filter(|id| !known.contains(id.as_str())).collect();
        assert!(orphans.is_empty(), "{orphans:?}");
    }

    #[test]
    fn a_class_without_an_entry_is_told_that_of_its_surface() {
        let replacements = Replacements::builtin().unwrap();
        for surface in SURFACES {
            let told = replacements.of("a class of tomorrow", surface);
            assert_eq!(Some(told), replacements.by_surface.get(&surface));
            let name = serde_json::to_value(surface).unwrap();
            assert_eq!(name, surface_name(surface));
        }
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let entry = "phase1 = \"a\"\nphase2 = \"b\"\nexample = \"c\"\n";
        let check = |text: &str, expected: &str| {
            let error = Replacements::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "version: missing");
        check("version = \"1\"", "surface: an entry for unwrap_expect is missing");
        check("version = \"1\"\nfurther = 1", "further: unknown key");
        check("class = 1", "class: a list of tables is needed");
        check(&format!("[[class]]\nid = \"x\"\n{entry}[[class]]\nid = \"x\"\n{entry}"), "class[1].id: stands twice");
        check(&format!("[[surface]]\nid = \"weather\"\n{entry}"), "surface[0].id: unknown variant `weather`");
        check("[[class]]\nid = \"x\"\nphase1 = \" \"", "class[0].phase1: a text is needed");
        check("[[class]]\nid = \"x\"\nphase1 = \"a\\nb\"", "class[0].phase1: one printable line");
        check(
            &format!("[[class]]\nphase1 = \"{}\"", "x".repeat(301)),
            "class[0].phase1: one printable line of at most 300",
        );
        check("[[class]]\nid = \"x\"", "class[0].example: missing");
        check("version = ", "the whole text");
    }
}
