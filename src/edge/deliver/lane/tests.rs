//! What a lane makes of a reading, without a network.

use super::memory::Sent;
use super::*;
use crate::edge::deliver::{Ticket, Word};
use crate::pipeline::alert::{Alert, Change, Severity};

mod property;

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

/// The same with the change and severity of each.
fn changes(changes: &[(&str, Change, Severity)]) -> Vec<Pending> {
    let names: Vec<&str> = changes.iter().map(|(cluster, ..)| *cluster).collect();
    let mut page = page(&names);
    for (pending, (_, change, severity)) in page.iter_mut().zip(changes) {
        let mut alert: Alert = serde_json::from_str(&pending.body).unwrap();
        (alert.change, alert.portrait.severity) = (*change, *severity);
        pending.body = serde_json::to_string(&alert).unwrap();
    }
    page
}

fn memory() -> Memory {
    Memory::new(Pace::new(PaceLimits::default(), WIDTH), BatchLimits { alerts_max: WIDTH, ..BatchLimits::default() })
}

/// The next request of a lane that found these waiting in the outbox.
fn choose(memory: &mut Memory, page: Vec<Pending>) -> Shipment {
    memory.forget();
    memory.hold(page);
    memory.choose()
}

fn seqs(sent: &[Sent]) -> Vec<i64> {
    sent.iter().map(|one| one.seq).collect()
}

fn pending(ticket: u64) -> Reading {
    Reading::Pending { ticket: Ticket(ticket), slow_down: false }
}

fn retry() -> Reading {
    Reading::Retry { why: "503".to_owned(), after: None, slow_down: false }
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
        let shipment = choose(&mut memory, waiting.clone());
        let seqs = seqs(&shipment.sent);
        let any_bad = seqs.iter().any(|seq| is_bad(*seq));
        let outcome = memory.digest(answer(&seqs, any_bad), shipment.sent);
        for one in outcome.settlements {
            waiting.retain(|pending| pending.seq != one.seq);
            if one.fate == Fate::Refused { refused.push(one.seq) } else { delivered.push(one.seq) }
        }
        memory.pace.after(outcome.went, seqs.len(), 0);
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
    let shipment = choose(&mut memory, page(&["a", "b"]));
    let outcome = memory.digest(Reading::Words(refuse(&[1, 2])), shipment.sent);
    assert_eq!((outcome.settlements.len(), outcome.went), (0, Went::TooWide));
    let shipment = choose(&mut memory, page(&["a"]));
    let outcome = memory.digest(Reading::Words(refuse(&[1])), shipment.sent);
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
    let mut memory = memory();
    let shipment = choose(&mut memory, page(&["a", "b", "c", "d", "e"]));
    let outcome = memory.digest(Reading::Words(said), shipment.sent);
    let fates: Vec<(i64, Fate)> = outcome.settlements.iter().map(|one| (one.seq, one.fate)).collect();
    assert_eq!(fates, vec![(1, Fate::Delivered), (4, Fate::Repeated), (5, Fate::Refused)]);
    assert_eq!((outcome.went, outcome.state), (Went::OnHold, LaneState::OnHold("403".to_owned())));
}

#[test]
fn an_alert_that_fails_for_ever_holds_up_no_other() {
    let said = || vec![Word::Retry("500".to_owned()), Word::Final(Fate::Delivered, String::new())];
    let mut memory = memory();
    for _ in 0..20 {
        let shipment = choose(&mut memory, page(&["a", "b"]));
        let outcome = memory.digest(Reading::Words(said()), shipment.sent);
        assert_eq!((outcome.settlements.len(), outcome.went), (1, Went::InPart { slow_down: false }));
        memory.pace.after(outcome.went, 2, 0);
    }
    assert_eq!(memory.pace.width(), WIDTH);
}

#[test]
fn a_wrong_number_of_words_settles_nothing() {
    let mut memory = memory();
    let shipment = choose(&mut memory, page(&["a", "b"]));
    let outcome = memory.digest(Reading::Words(vec![Word::Final(Fate::Delivered, String::new())]), shipment.sent);
    assert_eq!(outcome.settlements, vec![]);
    assert!(matches!(outcome.went, Went::Badly { .. }));
}

#[test]
fn a_request_holds_one_change_of_a_cluster_and_the_earliest() {
    let shipment = choose(&mut memory(), page(&["a", "a", "b", "a", "b", "c"]));
    assert_eq!(seqs(&shipment.sent), vec![1, 3, 6]);
}

#[test]
fn a_request_is_no_wider_than_the_pace() {
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(choose(&mut memory(), page(&names)).alerts.len(), WIDTH);
    let narrow = BatchLimits { alerts_max: WIDTH, bytes_max: page(&["a"])[0].body.len() * 5 / 2 };
    let mut memory = Memory::new(Pace::new(PaceLimits::default(), WIDTH), narrow);
    assert_eq!(choose(&mut memory, page(&names)).alerts.len(), 2, "nor larger than a request may be");
    let mut memory = Memory::new(Pace::new(PaceLimits::default(), WIDTH), BatchLimits { bytes_max: 1, ..narrow });
    assert_eq!(choose(&mut memory, page(&names)).alerts.len(), 1, "what is larger alone is sent alone");
}

#[test]
fn an_alert_that_cannot_be_read_is_refused_and_stays_to_be_seen() {
    let mut waiting = page(&["a", "b"]);
    waiting[0].body = "{}".to_owned();
    let shipment = choose(&mut memory(), waiting);
    assert_eq!(seqs(&shipment.sent), vec![2]);
    assert_eq!(shipment.unreadable.len(), 1);
    assert_eq!(shipment.unreadable[0].fate, Fate::Refused);
}

#[test]
fn requests_that_carried_an_alert_are_counted() {
    let mut memory = memory();
    for _ in 0..2 {
        let shipment = choose(&mut memory, page(&["a"]));
        memory.digest(retry(), shipment.sent);
    }
    let shipment = choose(&mut memory, page(&["a"]));
    assert_eq!(memory.digest(ACCEPTED, shipment.sent).settlements[0].attempts, 3);
}

#[test]
fn what_was_handed_over_is_settled_by_its_acknowledgement_and_not_before() {
    let mut memory = memory();
    let shipment = choose(&mut memory, page(&["a", "b"]));
    let outcome = memory.digest(pending(7), shipment.sent);
    assert_eq!((outcome.settlements.len(), memory.n_under_way()), (0, 1));
    assert!(memory.digest_ticket(Ticket(8), ACCEPTED).is_none(), "an acknowledgement of nothing");
    let receipt = Reading::Accepted { slow_down: false, receipt: "ack 3".to_owned() };
    let (outcome, n_sent) = memory.digest_ticket(Ticket(7), receipt).unwrap();
    let settled: Vec<(i64, Fate, &str)> =
        outcome.settlements.iter().map(|one| (one.seq, one.fate, one.detail.as_str())).collect();
    assert_eq!(settled, vec![(1, Fate::Delivered, "ack 3"), (2, Fate::Delivered, "ack 3")]);
    assert_eq!((n_sent, memory.n_under_way()), (2, 0));
    assert!(memory.digest_ticket(Ticket(7), ACCEPTED).is_none(), "acknowledged twice");
}

#[test]
fn nothing_of_a_cluster_under_way_is_sent_and_nothing_under_way_is_sent_twice() {
    let mut memory = memory();
    let all = || page(&["a", "a", "b", "c"]);
    let shipment = choose(&mut memory, all());
    assert_eq!(seqs(&shipment.sent), vec![1, 3, 4]);
    memory.digest(pending(1), shipment.sent);
    assert_eq!(seqs(&choose(&mut memory, all()).sent), Vec::<i64>::new());
    assert_eq!(seqs(&choose(&mut memory, page(&["a", "a", "b", "c", "d"])).sent), vec![5]);
    memory.digest_ticket(Ticket(1), retry()).unwrap();
    assert_eq!(seqs(&choose(&mut memory, all()).sent), vec![1, 3, 4], "not acknowledged: all over again");
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let mut memory = memory();
    let names: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut n_requests = 0;
    while memory.has_window() {
        n_requests += 1;
        let shipment = choose(&mut memory, page(&names));
        memory.digest(pending(n_requests), shipment.sent);
    }
    assert_eq!(n_requests, 8);
    memory.digest_ticket(Ticket(3), ACCEPTED).unwrap();
    assert!(memory.has_window());
}

/// What is sent of these, and how all are settled, by a lane that is behind.
#[track_caller]
fn check_superseded(waiting: &[(&str, Change, Severity)], sent: &[i64], superseded: &[i64]) {
    let mut memory = memory();
    let mut page = changes(waiting);
    let (mut order, mut given_up) = (Vec::new(), Vec::new());
    while !page.is_empty() {
        let shipment = choose(&mut memory, page.clone());
        order.extend(seqs(&shipment.sent));
        for one in memory.digest(ACCEPTED, shipment.sent).settlements {
            page.retain(|pending| pending.seq != one.seq);
            if one.fate == Fate::Superseded {
                given_up.push(one.seq);
            }
        }
    }
    given_up.sort_unstable();
    assert_eq!((order.as_slice(), given_up.as_slice()), (sent, superseded));
}

#[test]
fn a_lane_that_is_behind_leaves_out_raises_that_a_later_change_says_too() {
    use Change::{Closed, Opened, Raised};
    use Severity::{Critical, High, Low};
    let x = |change, severity| ("x", change, severity);
    check_superseded(&[x(Opened, Low), x(Raised, High), x(Raised, Critical), x(Closed, Low)], &[1, 3, 4], &[2]);
    check_superseded(&[x(Opened, Low), x(Raised, High), x(Raised, High), x(Closed, High)], &[1, 4], &[2, 3]);
    check_superseded(&[x(Opened, Low), x(Raised, High), x(Closed, Low)], &[1, 2, 3], &[]);
    // An opening after it is another story.
    check_superseded(&[x(Raised, Low), x(Opened, High), x(Raised, High)], &[1, 2, 3], &[]);
    check_superseded(&[x(Opened, Low), x(Opened, High), x(Closed, Low), x(Closed, High)], &[1, 2, 3, 4], &[]);
    check_superseded(&[("x", Raised, Low), ("y", Raised, High)], &[1, 2], &[]);
}

#[test]
fn a_raise_is_given_up_only_when_the_later_change_was_taken() {
    let mut memory = memory();
    let all = changes(&[("x", Change::Raised, Severity::Low), ("x", Change::Raised, Severity::High)]);
    let shipment = choose(&mut memory, all.clone());
    assert_eq!(seqs(&shipment.sent), vec![2]);
    let outcome = memory.digest(poison(None), shipment.sent);
    assert_eq!(outcome.settlements.iter().map(|one| (one.seq, one.fate)).collect::<Vec<_>>(), vec![(2, Fate::Refused)]);
    assert_eq!(seqs(&choose(&mut memory, all[..1].to_vec()).sent), vec![1]);
}

#[test]
fn a_lane_that_keeps_up_leaves_nothing_out() {
    let mut memory = memory();
    let all = changes(&[("x", Change::Raised, Severity::Low), ("x", Change::Raised, Severity::High)]);
    assert!(memory.hold(Vec::new()), "nothing waits: it has caught up");
    assert_eq!(seqs(&choose(&mut memory, all.clone()).sent), vec![1]);
    // Down for one request, with another change in the meantime.
    let other =
        || all.iter().cloned().map(|one| Pending { seq: one.seq + 10, cluster: "y".to_owned(), ..one }).collect();
    let shipment = choose(&mut memory, page(&["other"]));
    memory.digest(retry(), shipment.sent);
    assert_eq!(seqs(&choose(&mut memory, other()).sent), vec![12]);
}
