//! Where the reading of a record stands, what it has spent, and how it is refused.
//!
//! Shared by all seeds of one record through a plain reference; gives the key path for a refusal's words, counts keys
//! and values against their budget, and measures what is dropped. Never: a value or a key of the record in its words,
//! recursion. Cost: a few stores a key; a path is written for a refusal alone.

use std::cell::{Cell, RefCell};

use serde::de::Error;
use serde_json::value::RawValue;

use super::{DEPTH_MAX, NODES_MAX, Refusal};
use crate::pipeline::event::{DecodeNotes, Reason};

/// What was read so far and where the reading stands. One a record, shared by all seeds.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) object: Cell<&'static str>,
    pub(super) key: Cell<&'static str>,
    pub(super) item: Cell<Option<usize>>,
    n_nodes: Cell<usize>,
    notes: Cell<DecodeNotes>,
    refusal: RefCell<Option<Refusal>>,
    pub(super) is_lenient: bool,
    pub(super) is_folded: bool,
}

impl Trace {
    /// A trace for a second reading that takes lone surrogates (and raw control characters) in what the client wrote.
    /// The strict reading comes first because it is faster and nearly always enough.
    pub(super) fn lenient() -> Self {
        Self { is_lenient: true, ..Self::default() }
    }

    /// A trace for carriers whose keys come in either letter case.
    pub(super) fn folded() -> Self {
        Self { is_folded: true, ..Self::default() }
    }

    /// Both at once.
    pub(super) fn folded_and_lenient() -> Self {
        Self { is_folded: true, ..Self::lenient() }
    }

    /// The place being read, as a key path: `client.ip`, `panic.backtrace[3]`, `side_effects[0].kind`.
    pub(super) fn path(&self) -> String {
        let (object, key, item) = (self.object.get(), self.key.get(), self.item.get());
        let joint = if object.is_empty() || key.is_empty() { "" } else { "." };
        match item {
            Some(item) if object.ends_with("[]") => {
                format!("{}[{item}]{joint}{key}", object.trim_end_matches("[]"))
            }
            Some(item) => format!("{object}{joint}{key}[{item}]"),
            None if object.is_empty() && key.is_empty() => "the record".to_owned(),
            None => format!("{object}{joint}{key}"),
        }
    }

    /// What was noticed and not refused.
    pub(super) fn notes(&self) -> DecodeNotes {
        self.notes.get()
    }

    /// The refusal that stopped the reading, if it was one of ours.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Whether a refusal of ours stopped the reading.
    pub(super) fn is_refused(&self) -> bool {
        self.refusal.borrow().is_some()
    }

    /// Counts something that was cut to its limit.
    pub(super) fn note_cut(&self) {
        self.note(|notes| notes.n_cut = notes.n_cut.saturating_add(1));
    }

    /// Changes what was noticed.
    pub(super) fn note(&self, change: impl FnOnce(&mut DecodeNotes)) {
        let mut notes = self.notes.get();
        change(&mut notes);
        self.notes.set(notes);
    }

    /// Refuses the record at the present place, and stops the parser.
    pub(super) fn refuse<E: Error>(&self, reason: Reason, words: &str) -> E {
        let refusal = Refusal { reason, detail: format!("{}: {words}", self.path()) };
        self.refusal.replace(Some(refusal));
        E::custom("refused")
    }

    /// Refuses a value of another JSON type than is needed.
    pub(super) fn wrong<E: Error>(&self, needed: &str, found: &str) -> E {
        self.refuse(Reason::WrongType, &format!("{needed} is needed, found {found}"))
    }

    /// Refuses a value that a leaf did not take.
    pub(super) fn fault<E: Error>(&self, needed: &str, fault: &Fault) -> E {
        match fault {
            Fault::Wrong(found) => self.wrong(needed, found),
            Fault::Value(words) => self.refuse(Reason::BadValue, words),
            Fault::TooLong(bytes_max) => self.refuse(Reason::TooLong, &format!("at most {bytes_max} bytes are taken")),
        }
    }

    /// Spends `n` of the record's budget of keys and values.
    pub(super) fn spend<E: Error>(&self, n: usize) -> Result<(), E> {
        let n_nodes = self.n_nodes.get().saturating_add(n);
        self.n_nodes.set(n_nodes);
        if n_nodes > NODES_MAX {
            return Err(self.refuse(Reason::TooManyNodes, &format!("at most {NODES_MAX} keys and values are read")));
        }
        Ok(())
    }
}

/// Why a leaf does not take a value.
pub(super) enum Fault {
    /// Another JSON type, named.
    Wrong(&'static str),
    /// The right type and not an allowed value: what would be right.
    Value(&'static str),
    /// More bytes than the field may have.
    TooLong(usize),
}

/// Counts the nodes and the depth of a value that is dropped. The JSON is known to be well-formed by then, so that
/// brackets outside texts tell the depth and commas and brackets tell the nodes: no stack is needed.
pub(super) fn measure<E: Error>(value: &RawValue, trace: &Trace) -> Result<(), E> {
    let (mut depth, mut n_nodes) = (0_usize, 1_usize);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in value.get().bytes() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                n_nodes += 1;
                if depth > DEPTH_MAX {
                    return Err(trace.refuse(Reason::TooDeep, &format!("at most {DEPTH_MAX} levels are read")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => n_nodes += 1,
            _ => {}
        }
    }
    trace.spend(n_nodes)
}

/// The visits that a seed does not take, each refused by the name of what was found.
macro_rules! refuse_visits {
    ($needed:expr; $($visit:ident($found:literal)),*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($needed)
        }
        $(refuse_visits!(@ $needed, $visit, $found);)*
    };
    (@ $needed:expr, visit_bool, $found:literal) => { refuse_visits!(@@ $needed, visit_bool(bool), $found); };
    (@ $needed:expr, visit_u64, $found:literal) => { refuse_visits!(@@ $needed, visit_u64(u64), $found); };
    (@ $needed:expr, visit_i64, $found:literal) => { refuse_visits!(@@ $needed, visit_i64(i64), $found); };
    (@ $needed:expr, visit_f64, $found:literal) => { refuse_visits!(@@ $needed, visit_f64(f64), $found); };
    (@ $needed:expr, visit_str, $found:literal) => { refuse_visits!(@@ $needed, visit_str(&str), $found); };
    (@ $needed:expr, visit_seq, $found:literal) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _list: A) -> Result<Self::Value, A::Error> {
            Err(self.trace.wrong($needed, $found))
        }
    };
    (@ $needed:expr, visit_map, $found:literal) => {
        fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<Self::Value, A::Error> {
            Err(self.trace.wrong($needed, $found))
        }
    };
    (@@ $needed:expr, $visit:ident($kind:ty), $found:literal) => {
        fn $visit<E: Error>(self, _value: $kind) -> Result<Self::Value, E> {
            Err(self.trace.wrong($needed, $found))
        }
    };
}
pub(super) use refuse_visits;
