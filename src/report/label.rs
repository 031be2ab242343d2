//! What analysts said of clusters: whom each word overrules, and what a word would be said of.
//!
//! Reads the store only, also while a service writes it: the lines of analysts, and of the state the clusters alone, no
//! cells, so that a question takes milliseconds. What strangers and analysts wrote is one printable line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::find::{find, wanted};
use super::list::to_the_minute;
use super::sheet::{Cell, Sheet};
use super::{Format, Page, uncapped};
use crate::edge::store::{Label, LabelSubject, Store};
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;
use crate::pipeline::rulings::Call;
use crate::pipeline::state::State;

/// The kinds of rows that a cluster is found by.
const KINDS_READ: [&str; 5] = ["clock", "cluster", "alias", "standing", "descent"];

/// Columns for people.
const FOR_PEOPLE: [&str; 7] = ["cluster", "word", "stands", "by", "at", "overrules", "why"];
/// Columns for machines.
const FOR_MACHINES: [&str; 9] = ["cluster", "word", "stands", "by", "at", "judge", "points", "overrules", "why"];

/// The cluster that a word is to be said of: the one whose id, or an alias of it, is or begins with `asked`. A word
/// outlives its cluster: what is to be taken back (`withdraw`) is looked for among the words that stand first, and a new
/// word may be said of an id that has one, though the cluster is no more.
///
/// # Errors
/// A store that cannot be read; an id that no cluster, or more than one, has: the error names near ones.
pub fn subject(store: &Path, asked: &str, withdraw: bool) -> Result<LabelSubject> {
    let store = Store::open_read_only(store)?;
    let (state, _) = State::restore_kinds(&uncapped()?, &KINDS_READ, |kind| store.load_state(kind))?;
    let labelled = labelled(&store, asked)?;
    if let Some(label) = labelled.as_ref().filter(|_| withdraw) {
        return Ok(of_label(&state, label));
    }
    let found = match (find(&state, asked), &labelled) {
        (Err(_), Some(label)) => return Ok(of_label(&state, label)),
        (found, _) => found?,
    };
    let judgement = found.standing.map(|standing| &standing.judgement);
    Ok(LabelSubject {
        cluster: found.cluster.id,
        alias: found.alias_line(),
        judge: judgement.map(|judgement| judgement.verdict).unwrap_or_default(),
        points: judgement.map(|judgement| judgement.points).unwrap_or_default(),
        descendants: descendants(&state, found.cluster.id),
    })
}

/// The newest line about the one cluster whose word stands and whose id is or begins with `asked`.
fn labelled(store: &Store, asked: &str) -> Result<Option<Label>> {
    let wanted = wanted(asked);
    let rulings = store.rulings()?;
    let mut fits = rulings.iter().map(|(id, _)| id).filter(|id| id.to_string().starts_with(&wanted));
    let (Some(id), None) = (fits.next(), fits.next()) else { return Ok(None) };
    Ok(store.labels()?.into_iter().rfind(|label| label.cluster == id))
}

/// What the judge says of it now, or, when it is no more, said when the word was given.
fn of_label(state: &State, label: &Label) -> LabelSubject {
    let Label { cluster, judge, points, .. } = *label;
    let standings = state.tenants().flat_map(|(_, tenant)| tenant.clusters());
    let standing = standings.filter(|(living, _)| living.id == cluster).find_map(|(_, standing)| standing);
    let (judge, points) =
        standing.map_or((judge, points), |standing| (standing.judgement.verdict, standing.judgement.points));
    LabelSubject { cluster, alias: None, judge, points, descendants: descendants(state, cluster) }
}

fn descendants(state: &State, id: ClusterId) -> Vec<ClusterId> {
    state.tenants().flat_map(|(_, tenant)| tenant.reached_from(id)).filter(|of| *of != id).collect()
}

/// Tells all that analysts said, the newest last.
///
/// # Errors
/// A store that is not there or cannot be read, and an output that cannot be written.
pub fn list(store: &Path, format: Format, out: &mut dyn Write) -> Result<()> {
    let labels = Store::open_read_only(store)?.labels()?;
    let people = format == Format::Table;
    let newest: BTreeMap<ClusterId, usize> = labels.iter().enumerate().map(|(at, label)| (label.cluster, at)).collect();
    let mut sheet = Sheet::new(if people { &FOR_PEOPLE[..] } else { &FOR_MACHINES[..] });
    let mut before: BTreeMap<ClusterId, &Label> = BTreeMap::new();
    for (at, label) in labels.iter().enumerate() {
        let stands = label.call.is_some() && newest.get(&label.cluster) == Some(&at);
        let overrules = overrules(label, before.insert(label.cluster, label));
        sheet.push(row(label, stands, overrules, people));
    }
    let page = &mut Page { format, out };
    if !people {
        return page.sheet(&sheet);
    }
    if labels.is_empty() {
        return page.line("no analyst has said anything yet: panicsift label CLUSTER hostile|benign --why TEXT");
    }
    page.sheet(&sheet)
}

fn row(label: &Label, stands: bool, overrules: String, people: bool) -> Vec<Cell> {
    let at = Millis(label.at_ms).to_string();
    let mut row: Vec<Cell> = vec![
        label.cluster.to_string().into(),
        label.call.map_or("withdrawn", Call::name).into(),
        if stands { "yes" } else { "no" }.into(),
        label.by.as_str().into(),
        if people { to_the_minute(&at) } else { at }.into(),
    ];
    if !people {
        row.extend([label.judge.name().into(), label.points.into()]);
    }
    row.extend([overrules.into(), label.why.as_str().into()]);
    row
}

/// `the judge: hostile, 4.20; alice: hostile`.
fn overrules(label: &Label, before: Option<&Label>) -> String {
    let person = before.and_then(|before| Some(format!("{}: {}", before.by, before.call?.name())));
    let Some(call) = label.call else { return person.unwrap_or_default() };
    let judge = if call.verdict() == label.judge {
        format!("nobody, the judge agrees: {:.2}", label.points)
    } else {
        format!("the judge: {}, {:.2}", label.judge.name(), label.points)
    };
    person.map_or_else(|| judge.clone(), |person| format!("{judge}; {person}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::alert::Verdict;
    use crate::pipeline::event::Id;

    fn label(call: Option<Call>, by: &str, judge: Verdict) -> Label {
        let (why, points) = ("w".to_owned(), 4.2);
        Label { cluster: ClusterId(Id(7)), call, why, by: by.to_owned(), at_ms: 0, judge, points }
    }

    #[test]
    fn a_word_tells_whom_it_overrules() {
        let check = |label: &Label, before: Option<&Label>, expected: &str| {
            assert_eq!(overrules(label, before), expected);
        };
        let (benign, hostile) = (Some(Call::Benign), Some(Call::Hostile));
        let alice = label(hostile, "alice", Verdict::Undecided);
        check(&label(benign, "bob", Verdict::Hostile), None, "the judge: hostile, 4.20");
        check(&label(hostile, "bob", Verdict::Hostile), None, "nobody, the judge agrees: 4.20");
        check(&label(benign, "bob", Verdict::Undecided), Some(&alice), "the judge: undecided, 4.20; alice: hostile");
        check(&label(None, "bob", Verdict::Hostile), Some(&alice), "alice: hostile");
    }
}
