//! What a lane makes of a reading, without a network.

use super::*;

const WIDTH: usize = 8;

fn page(clusters: &[&str]) -> Vec<Pending> {
    (1..)
        .zip(clusters)
        .map(|(seq, cluster)| Pending {
            seq,
            cluster: (*cluster).to_owned(),
            body: include_str!("../../../../tests/data/alert.json").to_owned(),
        })
        .collect()
}

fn memory() -> Memory {
    Memory::new(Pace::new(PaceLimits::default(), WIDTH))
}

fn poison(suspect: Option<usize>) -> Reading {
    Reading::Poison { suspect, why: "bad".to_owned() }
}

const ACCEPTED: Reading = Reading::Accepted { slow_down: false, receipt: String::new() };

/// Plays a destination that knows which alerts are bad against a page; gives (delivered, refused, requests).
fn play(
    n_alerts: i64,
    is_bad: impl Fn(i64) -> bool,
    answer: impl Fn(&[i64], bool) -> Reading,
) -> (Vec<i64>, Vec<i64>, usize) {
    let mut memory = memory();
    let names: Vec<String> = (1..=n_alerts).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut waiting = page(&names);
    let (mut delivered, mut refused, mut n_requests) = (Vec::new(), Vec::new(), 0);
    while !waiting.is_empty() {
        n_requests += 1;
        assert!(n_requests < 200, "goes round in circles");
        let shipment = memory.choose(waiting.clone());
        let any_bad = shipment.seqs.iter().any(|seq| is_bad(*seq));
        let outcome = memory.digest(answer(&shipment.seqs, any_bad), &shipment.seqs);
        for one in outcome.settlements {
            waiting.retain(|pending| pending.seq != one.seq);
            if one.fate == Fate::Refused { refused.push(one.seq) } else { delivered.push(one.seq) }
        }
        memory.pace.after(outcome.went, shipment.seqs.len(), 0);
    }
    (delivered, refused, n_requests)
}

#[test]
fn a_poisoned_alert_costs_itself_alone_when_it_is_pointed_at() {
    let (delivered, refused, n_requests) = play(
        8,
        |seq| seq == 5,
        |seqs, any_bad| {
            if any_bad { poison(seqs.iter().position(|seq| *seq == 5)) } else { ACCEPTED }
        },
    );
    assert_eq!((delivered, refused, n_requests), (vec![1, 2, 3, 4, 6, 7, 8], vec![5], 3));
}

#[test]
fn a_poisoned_alert_costs_itself_alone_when_nobody_points_at_it() {
    for bad in 1..=8 {
        let (mut delivered, refused, _) =
            play(8, |seq| seq == bad, |_, any_bad| if any_bad { poison(None) } else { ACCEPTED });
        delivered.push(bad);
        delivered.sort_unstable();
        assert_eq!((delivered, refused), ((1..=8).collect::<Vec<i64>>(), vec![bad]));
    }
}

#[test]
fn a_destination_that_points_at_the_wrong_alert_costs_no_good_one() {
    // It counts from 1, from the end, or points beyond the request.
    for shift in [1_usize, 3, 100] {
        let (mut delivered, refused, _) = play(
            8,
            |seq| seq == 2 || seq == 7,
            |seqs, any_bad| {
                let at = seqs.iter().position(|seq| *seq == 2 || *seq == 7).unwrap_or_default();
                if any_bad { poison(Some(at + shift)) } else { ACCEPTED }
            },
        );
        delivered.sort_unstable();
        assert_eq!((delivered, refused), (vec![1, 3, 4, 5, 6, 8], vec![2, 7]), "shifted by {shift}");
    }
}

#[test]
fn a_request_that_is_too_large_is_halved_until_it_fits() {
    let too_large = || Reading::TooLarge { why: "413".to_owned() };
    let (delivered, refused, _) = play(8, |_| false, |seqs, _| if seqs.len() > 3 { too_large() } else { ACCEPTED });
    assert_eq!((delivered, refused), ((1..=8).collect::<Vec<i64>>(), vec![]));
    let (_, refused, _) = play(2, |_| false, |_, _| too_large());
    assert_eq!(refused, vec![1, 2], "what is too large alone is refused");
}

#[test]
fn a_destination_that_refuses_every_item_of_a_request_is_not_believed_at_once() {
    let refuse = |seqs: &[i64]| seqs.iter().map(|_| Word::Final(Fate::Refused, "400".to_owned())).collect();
    let mut memory = memory();
    let outcome = memory.digest(Reading::Words(refuse(&[1, 2])), &[1, 2]);
    assert_eq!((outcome.settlements.len(), outcome.went), (0, Went::TooWide));
    let outcome = memory.digest(Reading::Words(refuse(&[1])), &[1]);
    assert_eq!((outcome.settlements.len(), outcome.went), (1, Went::Refused));
}

#[test]
fn words_are_settled_one_by_one_and_a_hold_outweighs_a_retry() {
    let said = vec![
        Word::Final(Fate::Delivered, String::new()),
        Word::Hold("403".to_owned()),
        Word::Overloaded("429".to_owned()),
        Word::Final(Fate::Repeated, String::new()),
        Word::Final(Fate::Refused, "400".to_owned()),
    ];
    let outcome = memory().digest(Reading::Words(said), &[1, 2, 3, 4, 5]);
    let fates: Vec<(i64, Fate)> = outcome.settlements.iter().map(|one| (one.seq, one.fate)).collect();
    assert_eq!(fates, vec![(1, Fate::Delivered), (4, Fate::Repeated), (5, Fate::Refused)]);
    assert_eq!((outcome.went, outcome.state), (Went::OnHold, LaneState::OnHold("403".to_owned())));
}

#[test]
fn an_alert_that_fails_for_ever_holds_up_no_other() {
    let said = || vec![Word::Retry("500".to_owned()), Word::Final(Fate::Delivered, String::new())];
    let mut memory = memory();
    for _ in 0..20 {
        let shipment = memory.choose(page(&["a", "b"]));
        let outcome = memory.digest(Reading::Words(said()), &shipment.seqs);
        assert_eq!((outcome.settlements.len(), outcome.went), (1, Went::InPart { slow_down: false }));
        memory.pace.after(outcome.went, 2, 0);
    }
    assert_eq!(memory.pace.width(), WIDTH);
}

#[test]
fn a_wrong_number_of_words_settles_nothing() {
    let outcome = memory().digest(Reading::Words(vec![Word::Final(Fate::Delivered, String::new())]), &[1, 2]);
    assert_eq!(outcome.settlements, vec![]);
    assert!(matches!(outcome.went, Went::Badly { .. }));
}

#[test]
fn a_request_holds_one_change_of_a_cluster_and_the_earliest() {
    let shipment = memory().choose(page(&["a", "a", "b", "a", "b", "c"]));
    assert_eq!(shipment.seqs, vec![1, 3, 6]);
}

#[test]
fn a_request_is_no_wider_than_the_pace() {
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(memory().choose(page(&names)).seqs.len(), WIDTH);
}

#[test]
fn an_alert_that_cannot_be_read_is_refused_and_stays_to_be_seen() {
    let mut waiting = page(&["a", "b"]);
    waiting[0].body = "{}".to_owned();
    let shipment = memory().choose(waiting);
    assert_eq!(shipment.seqs, vec![2]);
    assert_eq!(shipment.unreadable.len(), 1);
    assert_eq!(shipment.unreadable[0].fate, Fate::Refused);
}

#[test]
fn requests_that_carried_an_alert_are_counted() {
    let mut memory = memory();
    let retry = || Reading::Retry { why: "503".to_owned(), after: None, slow_down: false };
    for _ in 0..2 {
        let shipment = memory.choose(page(&["a"]));
        memory.digest(retry(), &shipment.seqs);
    }
    let shipment = memory.choose(page(&["a"]));
    assert_eq!(memory.digest(ACCEPTED, &shipment.seqs).settlements[0].attempts, 3);
    assert!(memory.attempts.is_empty());
}
