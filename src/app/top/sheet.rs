//! Pages of lines: one cluster with what is known of it, and the keys.
//!
//! Pure: takes a state and an id, gives lines with a tone; breaks them at spaces for a width. The lists of a cluster are
//! cut at [`LISTED_MAX`]; all of them are in `panicsift report show`, which the page names.

use ratatui::text::Span;

use super::super::plain;
use super::keys::KEYS;
use crate::pipeline::alert::{Counted, Evidence, Portrait, Verdict};
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;
use crate::pipeline::life::Life;
use crate::pipeline::state::State;
use crate::pipeline::tenant::Tenant;

/// Entries of one list that a page shows.
const LISTED_MAX: usize = 5;

/// Columns of a broken line's second part.
const INDENT: usize = 4;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Head,
    Good,
    Bad,
    Dim,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Said {
    fn new(tone: Tone, text: &str) -> Self {
        Self { text: plain(text), tone }
    }
}

/// What is known of a cluster, or that it is gone.
pub(super) fn of_cluster(state: &State, id: ClusterId) -> Vec<Said> {
    let found = state.tenants().find_map(|(_, tenant)| {
        let (cluster, standing) = tenant.clusters().find(|(cluster, _)| cluster.id == id)?;
        Some((tenant, cluster, standing))
    });
    let Some((tenant, cluster, standing)) = found else { return gone(state, id) };
    let portrait = tenant.portrait(cluster);
    let mut said = vec![
        Said::new(tone_of(portrait.verdict), &headline(id, &portrait)),
        Said::new(Tone::Plain, &portrait.title),
        Said::new(Tone::Plain, &next(&portrait)),
        Said::new(Tone::Plain, &life(standing.map(|standing| &standing.life))),
        Said::new(Tone::Dim, &format!("events from {} to {}", portrait.first_event, portrait.last_event)),
        Said::new(Tone::Dim, &counts(&portrait)),
    ];
    said.retain(|line| !line.text.is_empty());
    let analyst = portrait.overruled.as_ref().map(|word| word.sentence(&id.to_string(), portrait.points));
    said.extend(analyst.map(|words| Said::new(Tone::Plain, &words)));
    evidence(&portrait, &mut said);
    for (name, counted) in lists(&portrait) {
        list(name, &counted, &mut said);
    }
    said.push(Said::new(Tone::Head, ""));
    said.push(Said::new(
        Tone::Dim,
        &format!("all of it: panicsift report show {id}; why: panicsift report explain {id}"),
    ));
    said
}

/// The keys and what they do.
pub(super) fn of_keys() -> Vec<Said> {
    let mut said = vec![Said::new(Tone::Head, "Keys")];
    said.extend(KEYS.iter().map(|(key, deed)| Said { text: format!("  {key:<20} {deed}"), tone: Tone::Plain }));
    let words = "Clusters and destinations come from the store, the service's lag and readiness from its admin port. \
                 Nothing here changes anything. A store that takes long to read is read less often, so that reading \
                 takes at most a tenth of the time.";
    said.push(Said::new(Tone::Plain, ""));
    said.push(Said::new(Tone::Dim, words));
    said
}

/// The lines broken at spaces to be at most `width` columns wide; further parts of a line are indented. Costs the length
/// of the text.
pub(super) fn wrapped(said: &[Said], width: usize) -> Vec<Said> {
    said.iter().flat_map(|one| broken(&one.text, width).into_iter().map(|text| Said { text, tone: one.tone })).collect()
}

fn broken(text: &str, width: usize) -> Vec<String> {
    let indent = if width > 3 * INDENT { INDENT } else { 0 };
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    let begin = |lines: &mut Vec<String>, line: &mut String| {
        lines.push(std::mem::replace(line, " ".repeat(indent)));
        indent
    };
    for word in text.split_inclusive(' ') {
        let columns = Span::raw(word.trim_end()).width();
        if used + columns > width && used > indent {
            used = begin(&mut lines, &mut line);
        }
        if used + columns <= width {
            line.push_str(word);
            used += Span::raw(word).width();
            continue;
        }
        // A word that is wider than the page is broken where it must be.
        for c in word.chars() {
            let columns = Span::raw(&*c.encode_utf8(&mut [0; 4])).width();
            if used + columns > width && used > indent {
                used = begin(&mut lines, &mut line);
            }
            line.push(c);
            used += columns;
        }
    }
    lines.push(line);
    lines
}

/// How a verdict is meant.
pub(super) fn tone_of(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Hostile => Tone::Bad,
        Verdict::Benign => Tone::Good,
        Verdict::Undecided => Tone::Plain,
    }
}

fn gone(state: &State, id: ClusterId) -> Vec<Said> {
    let into = state.tenants().find_map(|(_, tenant)| into(tenant, id));
    let text = into.map_or_else(
        || format!("{id} is no more: its events are forgotten or spread over other clusters"),
        |into| format!("{id} became part of {into}"),
    );
    vec![Said::new(Tone::Plain, &text)]
}

fn into(tenant: &Tenant, id: ClusterId) -> Option<ClusterId> {
    tenant.aliases().find(|(dead, _)| *dead == id).map(|(_, alias)| alias.into)
}

fn headline(id: ClusterId, portrait: &Portrait) -> String {
    let (verdict, severity) = (portrait.verdict.name(), portrait.severity.name());
    let (points, threshold) = (portrait.points, portrait.threshold);
    format!("{id}: {verdict}, {points:.2} points (hostile from {threshold:.2} on), severity {severity}")
}

/// `T1190 Exploit Public-Facing Application; next: look at …`; nothing for what is not hostile.
fn next(portrait: &Portrait) -> String {
    let technique = portrait.technique.as_ref().map(|one| format!("{} {}", one.id, one.name));
    let step = Some(&portrait.next_step).filter(|step| !step.is_empty()).map(|step| format!("next: {step}"));
    technique.into_iter().chain(step).collect::<Vec<_>>().join("; ")
}

fn life(life: Option<&Life>) -> String {
    let Some(life) = life else { return "not judged yet".to_owned() };
    if life.in_digest {
        return "told by a digest of many clusters, not by an alert of its own".to_owned();
    }
    match (life.open_since, life.last_change) {
        (Some(since), _) => format!("alert open since {since}, told as {}", life.told.name()),
        (None, Some(last)) => format!("no alert is open; the last change was told at {last}"),
        (None, None) => "no alert was told of it".to_owned(),
    }
}

fn counts(portrait: &Portrait) -> String {
    let counts = portrait.counts;
    format!(
        "{} events, {} actors, {} addresses, {} shapes, {} sites, {} routes",
        counts.events, counts.actors, counts.addresses, counts.shapes, counts.sites, counts.routes
    )
}

fn evidence(portrait: &Portrait, said: &mut Vec<Said>) {
    said.push(Said::new(Tone::Head, ""));
    let lines: Vec<&Evidence> = portrait.evidence.iter().chain(&portrait.counter_evidence).collect();
    if lines.is_empty() {
        said.push(Said::new(Tone::Head, "no evidence for or against hostility"));
        return;
    }
    said.push(Said::new(Tone::Head, "evidence, in points"));
    for line in lines {
        let tone = if line.points > 0.0 { Tone::Bad } else { Tone::Good };
        said.push(Said::new(tone, &format!("  {:>+7.2}  {}: {}", line.points, line.name, line.words)));
    }
    said.push(Said::new(Tone::Plain, &format!("  {:>+7.2}  in all", portrait.points)));
}

fn list(name: &str, counted: &[Counted], said: &mut Vec<Said>) {
    if counted.is_empty() {
        return;
    }
    said.push(Said::new(Tone::Head, name));
    for one in counted.iter().take(LISTED_MAX) {
        said.push(Said::new(Tone::Plain, &format!("  {:>7}  {}", one.events, one.name)));
    }
    if let Some(more) = counted.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        said.push(Said::new(Tone::Dim, &format!("           and {more} more")));
    }
}

fn lists(portrait: &Portrait) -> Vec<(&'static str, Vec<Counted>)> {
    let networks = portrait.networks.iter().map(|network| {
        let asn = network.asn.map(|asn| format!("AS{asn}"));
        let name: Vec<String> = asn.into_iter().chain(network.organisation.clone()).collect();
        let name = if name.is_empty() { "not in the tables".to_owned() } else { name.join(" ") };
        Counted { name, events: network.events }
    });
    vec![
        ("networks", networks.collect()),
        ("routes", portrait.routes.clone()),
        ("sites", portrait.sites.clone()),
        ("services", portrait.services.clone()),
        ("releases", portrait.releases.clone()),
        ("classes", portrait.classes.clone()),
        ("recovery", portrait.recovery.clone()),
        ("agents", portrait.agents.clone()),
        ("countries", portrait.countries.clone()),
        ("scopes", portrait.token_scopes.clone()),
        ("announced tests", portrait.expected.clone()),
    ]
}

/// `2026-09-14 08:00:12` of a time, in UTC.
pub(super) fn to_the_second(at: Millis) -> String {
    at.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::view::testing::HOSTILE;
    use super::*;
    use crate::pipeline::event::Id;
    use crate::pipeline::neutral;

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_where_they_must() {
        let check = |text: &str, width: usize, expected: &[&str]| assert_eq!(broken(text, width), expected, "{text:?}");
        check("", 10, &[""]);
        check("a b c", 10, &["a b c"]);
        check("aaa bbb ccc", 7, &["aaa bbb ", "ccc"]);
        check("one two three four five", 14, &["one two three ", "    four five"]);
        check("abcdefghij", 4, &["abcd", "efgh", "ij"]);
        check("日本語日本語", 4, &["日本", "語日", "本語"]);
        check("ab", 0, &["a", "b"]);
    }

    #[test]
    fn every_key_has_its_line() {
        let said = of_keys();
        for (key, _) in KEYS {
            assert!(said.iter().any(|one| one.text.contains(key)), "{key}");
        }
    }

    #[test]
    fn a_cluster_that_is_gone_is_said_to_be() {
        let said = of_cluster(&State::default(), ClusterId(Id(7)));
        assert!(said[0].text.contains("is no more"), "{said:?}");
    }

    #[test]
    fn evidence_is_told_with_its_sum_and_hostile_texts_are_harmless() {
        let line = |name: &str, points| Evidence { name: name.to_owned(), points, words: HOSTILE.to_owned() };
        let portrait = Portrait {
            points: 4.25,
            evidence: vec![line("probing", 5.5)],
            counter_evidence: vec![line("browser", -1.25)],
            routes: (0..7).map(|n| Counted { name: format!("{n}{HOSTILE}"), events: n }).collect(),
            ..Portrait::default()
        };
        let mut said = Vec::new();
        evidence(&portrait, &mut said);
        for (name, counted) in lists(&portrait) {
            list(name, &counted, &mut said);
        }
        let text = said.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join("\n");
        for expected in ["+5.50  probing", "-1.25  browser", "+4.25  in all", "routes", "and 2 more"] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(said.iter().all(|one| one.text.chars().all(neutral::is_shown)), "{text}");
    }

    proptest! {
        #[test]
        fn breaking_loses_nothing_and_keeps_to_the_width(text in "[ a-zé日\u{301}]{0,200}", width in 2_usize..60) {
            let lines = broken(&text, width);
            let bare = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
            for line in &lines {
                prop_assert!(Span::raw(line.trim_end()).width() <= width, "{:?}", line);
            }
        }
    }
}
