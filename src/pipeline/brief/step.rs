//! What to do first about a hostile cluster, in a sentence.
//!
//! Chosen by the technique, with the names that it is about: route, panic site, service, an example to look at. What
//! became of the faults is added where some left their boundary. Advice for a person: nothing here does anything. Names
//! are cut at [`NAME_BYTES_MAX`] bytes; there are no values of payloads or tokens in it.

use super::{Case, LOST};
use crate::pipeline::alert::{Counted, Technique};
use crate::pipeline::neutral;
use crate::pipeline::portrait::plural;

/// Bytes of a name in the sentence.
const NAME_BYTES_MAX: usize = 120;
/// Bytes of an event's id in it.
const ID_BYTES_MAX: usize = 80;

/// The sentence.
pub fn of(case: &Case<'_>, technique: Option<&Technique>) -> String {
    let portrait = case.portrait;
    let (route, site) = (first(&portrait.routes, "the route"), first(&portrait.sites, "the panic site"));
    let service = first(&portrait.services, "the service");
    let payloads = payloads(case);
    let (tokens, them) =
        if case.tokens > 1 { (plural(case.tokens, "token"), "them") } else { ("token".to_owned(), "it") };
    let step = match technique.map_or("", |technique| technique.id.as_str()) {
        "T1499.004" => {
            format!(
                "take the load off {service}: limit or refuse these senders on {route}, then mend {site} with {payloads}"
            )
        }
        "T1550.001" => format!(
            "revoke the {tokens} and all sessions behind, ask the owner who used {them} last, then look at what else was \
             asked of {service}"
        ),
        "T1110" => format!(
            "limit tries of these senders at {service}, and look whether any token of theirs was accepted after the refused \
             ones"
        ),
        "T1595.003" | "T1595.002" => {
            format!("look at {site} with {payloads}, and at what the same senders asked of {service} without a panic")
        }
        "T1190" => format!(
            "look at {site} with {payloads}, and check which requests of the same senders to {route} were answered without a \
             panic"
        ),
        _ => format!("look at {site} with {payloads}, and at who these senders of {route} are"),
    };
    let lost = case.ended(&LOST);
    if lost == 0 {
        return step;
    }
    let left = plural(lost, "fault");
    format!(
        "{step}; {left} left the boundary that should contain them, so have {service} looked at for what is half done"
    )
}

fn first<'a>(names: &'a [Counted], otherwise: &'a str) -> std::borrow::Cow<'a, str> {
    let name = names.first().map_or(otherwise, |one| one.name.as_str());
    neutral::line(name, NAME_BYTES_MAX)
}

/// Whose payload to look at: that of the example that comes first. Where it stands is said beside, in the examples.
fn payloads(case: &Case<'_>) -> String {
    let Some(example) = case.portrait.examples.first() else { return "the payloads of its events".to_owned() };
    format!("the payload of event {}", neutral::line(&example.event_id, ID_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::alert::{Example, Portrait};

    fn counted(name: &str, events: u64) -> Vec<Counted> {
        vec![Counted { name: name.to_owned(), events }]
    }

    fn portrait() -> Portrait {
        Portrait {
            services: counted("orders", 42),
            sites: counted("src/parse.rs: byte index N", 42),
            routes: counted("POST /v1/orders", 42),
            recovery: counted("recovered", 42),
            examples: vec![Example {
                event_id: "e-1".to_owned(),
                topic: "panics".to_owned(),
                partition: 0,
                offset: 17,
            }],
            ..Portrait::default()
        }
    }

    fn step(portrait: &Portrait, id: &str, tokens: u64) -> String {
        let text = String::new;
        let technique =
            Technique { id: id.to_owned(), name: text(), tactic_id: text(), tactic: text(), reason: text() };
        of(&Case { portrait, lead: None, tokens, minutes: 1 }, Some(&technique).filter(|one| !one.id.is_empty()))
    }

    #[test]
    fn each_technique_has_a_step_of_its_own_with_the_names_it_is_about() {
        let check = |id: &str, expected: &str| assert_eq!(step(&portrait(), id, 1), expected);
        let payload = "the payload of event e-1";
        check(
            "T1550.001",
            "revoke the token and all sessions behind, ask the owner who used it last, then look at what else was asked of \
             orders",
        );
        check(
            "T1190",
            &format!(
                "look at src/parse.rs: byte index N with {payload}, and check which requests of the same senders to POST \
                 /v1/orders were answered without a panic"
            ),
        );
        check(
            "T1499.004",
            &format!(
                "take the load off orders: limit or refuse these senders on POST /v1/orders, then mend src/parse.rs: byte \
                 index N with {payload}"
            ),
        );
        check(
            "",
            &format!(
                "look at src/parse.rs: byte index N with {payload}, and at who these senders of POST /v1/orders are"
            ),
        );
        let all: std::collections::BTreeSet<String> =
            ["T1499.004", "T1550.001", "T1110", "T1595.002", "T1190", ""].map(|id| step(&portrait(), id, 1)).into();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn faults_that_left_their_boundary_are_told() {
        let mut portrait = portrait();
        portrait.recovery = counted("escaped", 3);
        assert!(step(&portrait, "T1190", 1).ends_with(
            "; 3 faults left the boundary that should contain them, so have orders looked at for what is half done"
        ));
    }

    #[test]
    fn hostile_and_absent_names_leave_one_short_line() {
        let mut hostile = portrait();
        for list in [&mut hostile.services, &mut hostile.sites, &mut hostile.routes] {
            list[0].name = format!("a\r\n\u{1b}[2J\u{202e}{}", "é".repeat(1_000));
        }
        hostile.recovery = counted("aborted", u64::MAX);
        hostile.examples[0].event_id = "\"\n|".repeat(1_000);
        for portrait in [hostile, Portrait::default()] {
            for id in ["T1499.004", "T1550.001", "T1110", "T1595.003", "T1190", ""] {
                let step = step(&portrait, id, u64::MAX);
                assert!(step.len() < 1_000 && step.chars().all(neutral::is_shown), "{step}");
            }
        }
    }
}
