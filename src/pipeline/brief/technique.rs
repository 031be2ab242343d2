//! Which technique of MITRE ATT&CK (Enterprise) the evidence speaks of, and by which numbers.
//!
//! A table of six, asked in order: what was done to the service before what was done to find a way, and what is sure
//! before what is likely. Each asks for numbers that a person can look up in the same alert; where none of them holds
//! the answer is none, since a guess would send somebody the wrong way. Ids and names are those of ATT&CK (techniques
//! T1499.004, T1550.001, T1110, T1595.003, T1595.002 and T1190 of attack.mitre.org, with the one tactic that each
//! serves here).

use super::deeds::leads;
use super::{Case, FATAL};
use crate::pipeline::alert::Technique;
use crate::pipeline::judge::evidence::Fact;
use crate::pipeline::portrait::plural;

/// Faults that took their instance with them from which on that is what is done.
const FATAL_MIN: u64 = 10;
/// One in this many events must be such.
const FATAL_SHARE: u64 = 5;
/// Tokens refused to one sender from which on it guesses.
const REFUSED_MIN: u64 = 5;
/// Routes from which on somebody works through a list.
const ROUTES_LISTED: u64 = 8;
/// Shapes from which on somebody tries what the service cannot bear.
const SHAPES_SCANNED: u64 = 8;
/// Routes or sites from which on that is more than one door.
const PLACES_SCANNED: u64 = 3;
/// Routes up to which odd content is meant for one door.
const ROUTES_AIMED: u64 = 2;

/// What it serves: id and name.
type Tactic = (&'static str, &'static str);

const RECONNAISSANCE: Tactic = ("TA0043", "Reconnaissance");
const INITIAL_ACCESS: Tactic = ("TA0001", "Initial Access");
const CREDENTIAL_ACCESS: Tactic = ("TA0006", "Credential Access");
const LATERAL_MOVEMENT: Tactic = ("TA0008", "Lateral Movement");
const IMPACT: Tactic = ("TA0040", "Impact");

/// Facts that say that the content of requests is odd, whatever it is.
const ODD_CONTENT: [Fact; 6] = [Fact::Structure, Fact::Values, Fact::Marks, Fact::Syntax, Fact::Marked, Fact::Markings];

/// The technique of a hostile cluster.
pub fn of(case: &Case<'_>) -> Option<Technique> {
    let rows = [exhausts, borrows_tokens, guesses_tokens, works_through_a_list, scans, exploits];
    rows.iter().find_map(|row| row(case))
}

fn technique(id: &str, name: &str, (tactic_id, tactic): Tactic, reason: String) -> Technique {
    Technique {
        id: id.to_owned(),
        name: name.to_owned(),
        tactic_id: tactic_id.to_owned(),
        tactic: tactic.to_owned(),
        reason,
    }
}

fn exhausts(case: &Case<'_>) -> Option<Technique> {
    let (fatal, all) = (case.ended(&FATAL), case.ended_anyhow());
    let reason = format!("{fatal} of {} took the instance with them", plural(all, "event"));
    let name = "Endpoint Denial of Service: Application or System Exploitation";
    (fatal >= FATAL_MIN && fatal.saturating_mul(FATAL_SHARE) >= all)
        .then(|| technique("T1499.004", name, IMPACT, reason))
}

fn borrows_tokens(case: &Case<'_>) -> Option<Technique> {
    let parties = from_doublings(case.against(Fact::TokenClients)?);
    let reason = format!("one token in the hands of {parties} clients or networks, and another one had used it first");
    let name = "Use Alternate Authentication Material: Application Access Token";
    (parties >= 2 && leads(case.portrait, "token_clients"))
        .then(|| technique("T1550.001", name, LATERAL_MOVEMENT, reason))
}

fn guesses_tokens(case: &Case<'_>) -> Option<Technique> {
    // The fact counts from one, so that none is no doubling.
    let refused = from_doublings(case.against(Fact::RefusedTokens)?).saturating_sub(1);
    let reason = format!("{} refused to one sender", plural(refused, "token"));
    (refused >= REFUSED_MIN).then(|| technique("T1110", "Brute Force", CREDENTIAL_ACCESS, reason))
}

fn works_through_a_list(case: &Case<'_>) -> Option<Technique> {
    let counts = case.portrait.counts;
    let walks = case.against(Fact::Enumeration).is_some() && leads(case.portrait, "enumeration");
    let what = if walks { "records side by side".to_owned() } else { plural(counts.routes, "route") };
    let reason = format!("{what}, {}", amount(case));
    let listed = counts.routes >= ROUTES_LISTED && case.against(Fact::Breadth).is_some();
    (walks || listed).then(|| technique("T1595.003", "Active Scanning: Wordlist Scanning", RECONNAISSANCE, reason))
}

fn scans(case: &Case<'_>) -> Option<Technique> {
    let counts = case.portrait.counts;
    let places = counts.routes >= PLACES_SCANNED || counts.sites >= PLACES_SCANNED;
    let reason = format!(
        "{}, {}, {} in {}",
        plural(counts.shapes, "shape"),
        plural(counts.routes, "route"),
        plural(counts.sites, "panic site"),
        plural(case.minutes, "minute")
    );
    (counts.shapes >= SHAPES_SCANNED && places)
        .then(|| technique("T1595.002", "Active Scanning: Vulnerability Scanning", RECONNAISSANCE, reason))
}

fn exploits(case: &Case<'_>) -> Option<Technique> {
    let counts = case.portrait.counts;
    let odd = ODD_CONTENT.into_iter().any(|fact| case.against(fact).is_some());
    let reason = format!(
        "content that nobody else sends to {}: {}, {}",
        plural(counts.routes, "route"),
        plural(counts.shapes, "shape"),
        amount(case)
    );
    (odd && (1..=ROUTES_AIMED).contains(&counts.routes))
        .then(|| technique("T1190", "Exploit Public-Facing Application", INITIAL_ACCESS, reason))
}

fn amount(case: &Case<'_>) -> String {
    format!("{} in {}", plural(case.portrait.counts.events, "event"), plural(case.minutes, "minute"))
}

/// How many there are of what is told in doublings. Facts are finite and small; whatever else comes is bounded.
fn from_doublings(doublings: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is at least 0")]
    let count = doublings.exp2().round().max(0.0) as u64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::alert::{Counted, Counts, Evidence, Portrait};
    use crate::pipeline::judge::Weighed;

    /// A lead with these facts against it, the first of them the weightiest.
    fn weighed(facts: &[(Fact, f64)]) -> (Weighed, Vec<Evidence>) {
        let mut weighed = Weighed::default();
        let mut evidence = Vec::new();
        for (rank, (fact, value)) in (0_u8..).zip(facts) {
            weighed.facts.0[*fact as usize] = *value;
            weighed.terms[*fact as usize] = 100;
            let name = crate::pipeline::judge::evidence::FACTS[*fact as usize].0.to_owned();
            evidence.push(Evidence { name, points: 5.0 - f64::from(rank), words: String::new() });
        }
        (weighed, evidence)
    }

    #[track_caller]
    fn check(facts: &[(Fact, f64)], counts: Counts, aborted: u64, expected: Option<(&str, &str)>) {
        let (lead, evidence) = weighed(facts);
        let ended = |name: &str, events| Counted { name: name.to_owned(), events };
        let recovery = vec![ended("recovered", counts.events.saturating_sub(aborted)), ended("aborted", aborted)];
        let portrait = Portrait { evidence, counts, recovery, ..Portrait::default() };
        let case = Case { portrait: &portrait, lead: Some(&lead), tokens: 1, minutes: 11 };
        let found = of(&case);
        assert_eq!(found.as_ref().map(|found| (found.id.as_str(), found.reason.as_str())), expected);
        assert_eq!(of(&Case { lead: None, ..case }).map(|found| found.id), {
            let without = aborted >= FATAL_MIN || counts.shapes >= SHAPES_SCANNED && counts.sites >= PLACES_SCANNED;
            without.then(|| expected.unwrap_or_default().0.to_owned())
        });
    }

    const FEW: Counts = Counts { events: 40, actors: 2, addresses: 3, shapes: 2, sites: 1, routes: 1 };

    #[test]
    fn each_technique_follows_from_its_numbers() {
        check(&[(Fact::Values, 2.0)], FEW, 10, Some(("T1499.004", "10 of 40 events took the instance with them")));
        let words = "one token in the hands of 6 clients or networks, and another one had used it first";
        check(&[(Fact::TokenClients, 6_f64.log2())], FEW, 0, Some(("T1550.001", words)));
        check(&[(Fact::RefusedTokens, 13_f64.log2())], FEW, 0, Some(("T1110", "12 tokens refused to one sender")));
        let listed = Counts { routes: 12, ..FEW };
        check(&[(Fact::Breadth, 3.5)], listed, 0, Some(("T1595.003", "12 routes, 40 events in 11 minutes")));
        let words = "records side by side, 40 events in 11 minutes";
        check(&[(Fact::Enumeration, 2.0)], FEW, 0, Some(("T1595.003", words)));
        let many = Counts { shapes: 40, sites: 3, ..FEW };
        let words = "40 shapes, 1 route, 3 panic sites in 11 minutes";
        check(&[(Fact::SiteSpread, 1.0)], many, 0, Some(("T1595.002", words)));
        let words = "content that nobody else sends to 1 route: 2 shapes, 40 events in 11 minutes";
        check(&[(Fact::Marks, 1.0)], FEW, 0, Some(("T1190", words)));
    }

    #[test]
    fn what_is_done_comes_before_how_it_was_found() {
        let many = Counts { shapes: 40, sites: 3, ..FEW };
        check(&[(Fact::Marks, 1.0)], many, 40, Some(("T1499.004", "40 of 40 events took the instance with them")));
        check(&[(Fact::Marks, 1.0)], many, 0, Some(("T1595.002", "40 shapes, 1 route, 3 panic sites in 11 minutes")));
    }

    #[test]
    fn numbers_below_the_line_name_nothing() {
        check(&[(Fact::Relative, 2.0)], FEW, 0, None);
        check(&[(Fact::Marks, 1.0)], Counts { routes: 3, ..FEW }, 0, None);
        check(&[(Fact::Breadth, 2.0)], Counts { routes: 7, ..FEW }, 0, None);
        check(&[(Fact::RefusedTokens, 5_f64.log2())], FEW, 0, None);
        check(&[(Fact::TokenClients, 0.0)], FEW, 0, None);
        check(&[(Fact::Relative, 2.0), (Fact::TokenClients, 1.0)], FEW, 0, None);
        check(&[(Fact::Relative, 2.0)], FEW, 9, None);
        check(&[], Counts::default(), 0, None);
    }
}
