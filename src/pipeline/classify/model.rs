//! `models/panics.toml`: classes and the rules that lead to them.
//!
//! Reads TOML text and gives a [`PanicModel`], or every fault of it. All patterns of a stage are one `RegexSet`, so that
//! a message is read once however many rules there are. The file's own head explains its keys.

use std::collections::HashMap;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::super::model::{self, Faults, ModelError, Section};
use super::hollow::hollow;
use super::response::{self, Response};
use super::{Bucket, Surface};

/// The model that the program carries.
const BUILTIN: &str = include_str!("../../../models/panics.toml");

/// The class of free text; every model must have it.
const CUSTOM: &str = "custom";

/// What a class may say.
const CLASS_KEYS: [&str; 9] = ["id", "surface", "bucket", "status", "retry", "advice", "problem", "title", "secondary"];

/// Most memory, in bytes a thread, of the automaton that one stage's patterns are turned into as messages are read. When
/// it is full, what would need another state is tried by a slower engine: 20,000 messages mixed of pieces of 1,000 known
/// ones took 84 µs each with 2 MiB and patterns of characters, and take 10 µs with this and patterns of bytes.
const AUTOMATON_BYTES_MAX: usize = 8 << 20;

/// Longest mask of a rule, in bytes, so that words or a type's name still fit behind it.
const MASK_BYTES_MAX: usize = 120;

/// A class of panics.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) id: String,
    pub(super) surface: Surface,
    pub(super) bucket: Bucket,
    pub(super) secondary: bool,
    pub(super) response: Response,
}

/// What follows the fixed words of an outer rule.
#[derive(Debug, Clone)]
pub(super) enum Tail {
    /// Nothing that is kept.
    None,
    /// The programmer's words, behind this text.
    Words(String),
    /// A printed error, behind this text.
    Error(String),
}

/// A rule about a whole message.
#[derive(Debug, Clone)]
pub(super) struct OuterRule {
    /// Index of its class.
    pub(super) class: usize,
    /// The words kept; `None`: the message itself with its numbers masked.
    pub(super) mask: Option<String>,
    pub(super) tail: Tail,
}

/// A rule about a printed error.
#[derive(Debug, Clone)]
struct InnerRule {
    /// Index of its class.
    class: usize,
    /// Other errors are wrapped in it: it decides only where nothing else is known.
    wrapper: bool,
    /// The pattern by itself, for the place of its match.
    pattern: Regex,
}

/// The knowledge that messages are classified with. Immutable; made once, shared by reference.
#[derive(Debug, Clone)]
pub struct PanicModel {
    version: String,
    classes: Vec<Class>,
    custom: usize,
    outer_set: RegexSet,
    outer: Vec<OuterRule>,
    inner_set: RegexSet,
    inner: Vec<InnerRule>,
    fallback: Class,
}

impl PanicModel {
    /// Reads a model; all faults of it at once.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let table = model::table(text)?;
        let file = Section::whole(&table);
        let mut faults = Faults::default();
        file.only(&["version", "problem_base", "class", "outer", "inner"], &mut faults);
        let version = file.required::<String>("version", &mut faults).unwrap_or_default();
        let (classes, names) = classes(&file, &mut faults);
        let (outer, outer_patterns) = outer_rules(&file, &names, &mut faults);
        let (inner, inner_patterns) = inner_rules(&file, &names, &mut faults);
        let custom = names.get(CUSTOM).copied();
        if custom.is_none() {
            faults.add("class", "the class `custom` is missing: free text needs it");
        }
        let model = custom.and_then(|custom| {
            Some(Self {
                version,
                fallback: classes.get(custom)?.clone(),
                classes,
                custom,
                outer_set: set("outer", &outer_patterns, &mut faults)?,
                outer,
                inner_set: set("inner", &inner_patterns, &mut faults)?,
                inner,
            })
        });
        faults.into_result(model)
    }

    /// The model that the program carries. A test holds that it has no fault.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(BUILTIN)
    }

    /// The model's version, stamped on alerts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What a client should be told about a panic of `class`; `None` for a class that the model does not know.
    pub fn response(&self, class: &str) -> Option<&Response> {
        self.classes.iter().find(|known| known.id == class).map(|known| &known.response)
    }

    /// The surface of the class with this id, if the model knows it.
    pub fn surface(&self, id: &str) -> Option<Surface> {
        self.classes.iter().find(|class| class.id == id).map(|class| class.surface)
    }

    /// All classes, in the order of the file.
    #[cfg(test)]
    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The first outer rule that matches.
    pub(super) fn outer(&self, text: &str) -> Option<&OuterRule> {
        self.outer.get(self.outer_set.matches(text.as_bytes()).iter().next()?)
    }

    /// The class of a printed error, its values apart. Of several rules that match the one decides that matches
    /// furthest left, of equals the first: what a library prints stands before the input that it tells about. Rules of
    /// errors that others are wrapped in come last.
    pub(super) fn inner(&self, error: &str) -> Option<usize> {
        let error = hollow(error);
        let matched = self.inner_set.matches(error.as_bytes());
        let mut rules = matched.iter().filter_map(|index| self.inner.get(index));
        let first = rules.next()?;
        let Some(second) = rules.next() else { return Some(first.class) };
        let place = |rule: &InnerRule| {
            (rule.wrapper, rule.pattern.find(error.as_bytes()).map_or(usize::MAX, |found| found.start()))
        };
        [first, second].into_iter().chain(rules).min_by_key(|rule| place(rule)).map(|rule| rule.class)
    }

    /// The class of free text.
    pub(super) fn custom(&self) -> usize {
        self.custom
    }

    /// A class by index.
    pub(super) fn class(&self, index: usize) -> &Class {
        self.classes.get(index).unwrap_or(&self.fallback)
    }
}

fn classes(file: &Section<'_>, faults: &mut Faults) -> (Vec<Class>, HashMap<String, usize>) {
    let mut classes: Vec<Class> = Vec::new();
    let mut names = HashMap::new();
    let problem_base = response::problem_base(file, faults);
    for section in file.sections("class", faults) {
        section.only(&CLASS_KEYS, faults);
        let id: String = section.required("id", faults).unwrap_or_default();
        let response = response::read(&section, &problem_base, faults);
        if classes.iter().any(|known| known.response.problem_type == response.problem_type) {
            faults.add(section.place("problem"), "another class has the same");
        }
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            faults.add(section.place("id"), "lower case letters, digits and _ are needed");
        }
        if names.insert(id.clone(), classes.len()).is_some() {
            faults.add(section.place("id"), format_args!("the class {id:?} stands twice"));
        }
        classes.push(Class {
            id,
            surface: section.required("surface", faults).unwrap_or_default(),
            bucket: section.required("bucket", faults).unwrap_or_default(),
            secondary: section.optional("secondary", faults).unwrap_or_default(),
            response,
        });
    }
    (classes, names)
}

fn outer_rules(
    file: &Section<'_>,
    names: &HashMap<String, usize>,
    faults: &mut Faults,
) -> (Vec<OuterRule>, Vec<String>) {
    let mut rules = Vec::new();
    let mut patterns: Vec<String> = Vec::new();
    for section in file.sections("outer", faults) {
        section.only(&["class", "pattern", "mask", "words_after", "inner_after"], faults);
        let mask: Option<String> = section.optional("mask", faults);
        let words_after = section.optional("words_after", faults);
        let inner_after = section.optional("inner_after", faults);
        let printable =
            |mask: &String| mask.len() <= MASK_BYTES_MAX && mask.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !mask.as_ref().is_none_or(printable) {
            faults.add(section.place("mask"), format_args!("at most {MASK_BYTES_MAX} printable ASCII characters"));
        }
        let tail = match (words_after, inner_after) {
            (None, None) => Tail::None,
            (Some(after), None) => Tail::Words(after),
            (None, Some(after)) => Tail::Error(after),
            (Some(_), Some(_)) => {
                faults.add(section.place("words_after"), "words_after and inner_after exclude each other");
                Tail::None
            }
        };
        let pattern = pattern_of(&section, faults).map_or(String::new(), |(text, _)| text);
        if mask.is_none() && (can_hold_input(&pattern) || !matches!(tail, Tail::None)) {
            faults.add(section.place("mask"), "needed: the pattern is not fixed words and numbers from end to end");
        }
        if patterns.contains(&pattern) {
            faults.add(section.place("pattern"), "stands twice");
        }
        patterns.push(pattern);
        rules.push(OuterRule { class: class_of(&section, names, faults), mask, tail });
    }
    (rules, patterns)
}

fn inner_rules(
    file: &Section<'_>,
    names: &HashMap<String, usize>,
    faults: &mut Faults,
) -> (Vec<InnerRule>, Vec<String>) {
    let mut rules = Vec::new();
    let mut patterns = Vec::new();
    for section in file.sections("inner", faults) {
        section.only(&["class", "pattern", "wrapper"], faults);
        let class = class_of(&section, names, faults);
        let wrapper = section.optional("wrapper", faults).unwrap_or_default();
        let Some((text, pattern)) = pattern_of(&section, faults) else { continue };
        rules.push(InnerRule { class, wrapper, pattern });
        patterns.push(text);
    }
    (rules, patterns)
}

fn class_of(section: &Section<'_>, names: &HashMap<String, usize>, faults: &mut Faults) -> usize {
    let Some(name) = section.required::<String>("class", faults) else { return 0 };
    names.get(&name).copied().unwrap_or_else(|| {
        faults.add(section.place("class"), format_args!("unknown class {name:?}"));
        0
    })
}

/// The pattern as it is used, and compiled by itself, so that a bad one is named.
fn pattern_of(section: &Section<'_>, faults: &mut Faults) -> Option<(String, Regex)> {
    let pattern = section.required::<String>("pattern", faults)?;
    // So that a digit is no class that could hold input.
    let ascii = pattern.replace(r"\d", "[0-9]");
    match RegexBuilder::new(&ascii).unicode(false).dot_matches_new_line(true).build() {
        Ok(compiled) => Some((ascii, compiled)),
        Err(error) => {
            faults.add(section.place("pattern"), error);
            None
        }
    }
}

/// Whether a text that matches may hold anything but fixed words and numbers.
fn can_hold_input(pattern: &str) -> bool {
    let digits_out = pattern.replace("[0-9]", "");
    let mut escaped = false;
    let wild = digits_out.chars().any(|c| {
        let wild = if escaped { c.is_ascii_alphabetic() } else { matches!(c, '.' | '[') };
        escaped = !escaped && c == '\\';
        wild
    });
    wild || !pattern.starts_with('^') || !pattern.ends_with('$')
}

fn set(place: &str, patterns: &[String], faults: &mut Faults) -> Option<RegexSet> {
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .dot_matches_new_line(true)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .build()
        .map_err(|error| faults.add(place, format_args!("the patterns together: {error}")))
        .ok()
}
