//! Every trap of indexer acknowledgement, without a network.

use super::*;

const TIMES: AckTimes = AckTimes { poll: Duration::from_secs(2), timeout: Duration::from_mins(5) };

/// A book with a clock and a count of the channels that it made.
struct Desk {
    book: AckBook,
    now: Instant,
    n_channels: u32,
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "an origin for times that the test makes up")]
    fn new() -> Self {
        Self { book: AckBook::new(TIMES), now: Instant::now(), n_channels: 0 }
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    fn channel(&mut self, endpoint: usize) -> String {
        let Self { book, now, n_channels } = self;
        let voice = book.voice(endpoint, *now, || {
            *n_channels += 1;
            format!("channel-{n_channels}")
        });
        voice.channel.to_string()
    }

    /// Hands a request over at an endpoint whose answer bears this number.
    fn hand_over(&mut self, endpoint: usize, id: u64) -> Result<Ticket, Lost> {
        self.hand_over_by(&reply(endpoint, &[], 1), id)
    }

    fn hand_over_by(&mut self, reply: &Reply, id: u64) -> Result<Ticket, Lost> {
        self.channel(reply.endpoint);
        self.book.taken(reply, id, self.now)
    }

    fn again(&mut self) -> Vec<Ticket> {
        self.book.overdue(self.now).into_iter().map(|(ticket, _)| ticket).collect()
    }
}

fn reply(endpoint: usize, cookies: &[&str], peer: u8) -> Reply {
    Reply {
        status: 200,
        endpoint,
        cookies: cookies.iter().map(|cookie| (*cookie).to_owned()).collect(),
        peer: Some(SocketAddr::from(([10, 0, 0, peer], 8088))),
        ..Reply::default()
    }
}

#[test]
fn a_number_is_asked_for_where_it_was_given_and_told_once() {
    let mut desk = Desk::new();
    let (a, b) = (desk.hand_over(0, 0).unwrap(), desk.hand_over(1, 0).unwrap());
    assert_ne!(a, b, "the same number at two endpoints");
    assert_eq!(desk.book.next(desk.now), Some(TIMES.poll));
    assert_eq!(desk.book.question(desk.now), None, "too early");
    desk.wait(2);
    let first = desk.book.question(desk.now).unwrap();
    let second = desk.book.question(desk.now).unwrap();
    assert_eq!((first.endpoint, first.voice.channel.as_ref(), first.ids.as_slice()), (0, "channel-1", [0].as_slice()));
    assert_eq!((second.endpoint, second.voice.channel.as_ref()), (1, "channel-2"));
    assert_eq!(desk.book.question(desk.now), None, "each was asked just now");
    let told = desk.book.acknowledged(&second, &[0]);
    assert_eq!(told, vec![(b, Receipt { endpoint: 1, channel: "channel-2".into(), id: 0 })]);
    assert_eq!(desk.book.acknowledged(&second, &[0]), vec![], "told twice");
    assert_eq!(desk.book.acknowledged(&first, &[0]).first().map(|(ticket, _)| *ticket), Some(a));
    assert_eq!(desk.book.next(desk.now), None);
}

#[test]
fn an_answer_about_numbers_that_were_not_asked_for_says_nothing() {
    let mut desk = Desk::new();
    desk.hand_over(0, 0).unwrap();
    desk.wait(2);
    let question = desk.book.question(desk.now).unwrap();
    let later = desk.hand_over(0, 1).unwrap();
    assert_eq!(desk.book.acknowledged(&question, &[1, 7]), vec![]);
    desk.wait(2);
    let question = desk.book.question(desk.now).unwrap();
    assert_eq!(question.ids, [0, 1]);
    assert_eq!(desk.book.acknowledged(&question, &[1]).first().map(|(ticket, _)| *ticket), Some(later));
}

#[test]
fn a_number_that_goes_back_or_repeats_makes_a_new_channel_and_all_is_sent_again() {
    for id in [3, 4, 0] {
        let mut desk = Desk::new();
        let earlier = [desk.hand_over(0, 3).unwrap(), desk.hand_over(0, 4).unwrap()];
        let elsewhere = desk.hand_over(1, 0).unwrap();
        assert!(matches!(desk.hand_over(0, id), Err(Lost::Changed(_))), "{id}");
        assert_eq!(desk.book.next(desk.now), Some(Duration::ZERO));
        assert_eq!(desk.again(), earlier);
        assert_eq!(desk.channel(0), "channel-3");
        assert_eq!(desk.hand_over(0, 0), Ok(Ticket(elsewhere.0 + 1)), "a new channel may begin at 0");
        desk.wait(2);
        assert_eq!(desk.book.question(desk.now).unwrap().endpoint, 1, "the other endpoint is not concerned");
    }
}

#[test]
fn a_number_may_leave_out_some() {
    let mut desk = Desk::new();
    assert!(desk.hand_over(0, 0).is_ok() && desk.hand_over(0, 17).is_ok());
}

#[test]
fn another_session_of_the_balancer_makes_a_new_channel_and_all_is_sent_again() {
    let mut desk = Desk::new();
    let with = |cookie: &str| reply(0, &[cookie], 1);
    let first = desk.hand_over_by(&with("s=1"), 0).unwrap();
    let second = desk.hand_over_by(&with("s=1"), 1).unwrap();
    assert!(matches!(desk.hand_over_by(&with("s=2"), 2), Err(Lost::Changed(_))), "although the number goes up");
    assert_eq!(desk.again(), [first, second]);
    let voice = desk.book.voice(0, desk.now, || "fresh".to_owned());
    assert_eq!((voice.channel.as_ref(), voice.cookie.as_deref()), ("fresh", Some("s=2")));
    assert!(desk.hand_over_by(&reply(0, &[], 1), 0).is_ok(), "the session is kept: no cookie is given anew");
}

#[test]
fn a_cookie_that_comes_late_is_a_change_too() {
    let mut desk = Desk::new();
    desk.hand_over(0, 0).unwrap();
    assert!(matches!(desk.hand_over_by(&reply(0, &["s=1"], 1), 1), Err(Lost::Changed(_))));
}

#[test]
fn another_peer_makes_a_new_channel_and_all_is_sent_again() {
    let mut desk = Desk::new();
    let first = desk.hand_over_by(&reply(0, &[], 1), 0).unwrap();
    assert!(matches!(desk.hand_over_by(&reply(0, &[], 2), 1), Err(Lost::Changed(_))));
    assert_eq!(desk.again(), [first]);
}

#[test]
fn an_answer_of_another_session_to_a_question_acknowledges_nothing() {
    let mut desk = Desk::new();
    let ticket = desk.hand_over(0, 0).unwrap();
    desk.wait(2);
    let question = desk.book.question(desk.now).unwrap();
    assert!(desk.book.same_session(&reply(0, &[], 2)).is_err());
    assert_eq!(desk.book.acknowledged(&question, &[0]), vec![]);
    assert_eq!(desk.again(), [ticket]);
}

#[test]
fn after_a_request_of_unknown_outcome_a_new_channel_is_used_and_what_waits_keeps_waiting() {
    let mut desk = Desk::new();
    let first = desk.hand_over(0, 0).unwrap();
    desk.book.unsure(0);
    assert_eq!(desk.again(), []);
    let second = desk.hand_over(0, 0).unwrap();
    desk.wait(2);
    let questions = [desk.book.question(desk.now).unwrap(), desk.book.question(desk.now).unwrap()];
    assert_eq!(questions.each_ref().map(|one| one.voice.channel.to_string()), ["channel-1", "channel-2"]);
    // The same number on both: each stands for its own request.
    assert_eq!(desk.book.acknowledged(&questions[1], &[0])[0].0, second);
    assert_eq!(desk.book.acknowledged(&questions[0], &[0])[0].0, first);
    assert_eq!(desk.book.channels.len(), 1, "the old channel is gone");
}

#[test]
fn what_is_not_acknowledged_in_time_is_sent_again_and_a_late_answer_counts_for_nothing() {
    let mut desk = Desk::new();
    let first = desk.hand_over(0, 0).unwrap();
    desk.wait(200);
    let question = desk.book.question(desk.now).unwrap();
    let second = desk.hand_over(0, 1).unwrap();
    desk.wait(99);
    assert_eq!(desk.again(), []);
    desk.wait(1);
    assert_eq!(desk.again(), [first]);
    assert_eq!(desk.book.acknowledged(&question, &[0]), vec![]);
    desk.wait(200);
    assert_eq!(desk.again(), [second]);
}

#[test]
fn a_session_that_changes_again_and_again_is_said() {
    let mut desk = Desk::new();
    let mut said = Vec::new();
    for peer in 1..=5 {
        // Each time a channel takes one number, and the next comes from elsewhere.
        desk.hand_over_by(&reply(0, &[], peer), 0).unwrap();
        said.push(match desk.hand_over_by(&reply(0, &[], peer + 1), 1) {
            Err(Lost::Unsteady(why)) => why.contains("sticky sessions"),
            other => other.is_ok(),
        });
    }
    assert_eq!(said, [false, false, false, true, true]);
}

#[test]
fn an_acknowledgement_shows_that_the_session_holds() {
    let mut desk = Desk::new();
    for round in 0..20_u8 {
        desk.hand_over_by(&reply(0, &[], 1), 0).unwrap();
        desk.wait(2);
        let question = desk.book.question(desk.now).unwrap();
        assert_eq!(desk.book.acknowledged(&question, &[0]).len(), 1);
        let changed = desk.hand_over_by(&reply(0, &[], 2), 1);
        assert!(matches!(changed, Err(Lost::Changed(_))), "round {round}");
        desk.book.sessions.get_mut(&0).unwrap().peer = Some(SocketAddr::from(([10, 0, 0, 1], 8088)));
    }
}

#[test]
fn a_channel_that_was_idle_for_long_is_not_used_again() {
    let mut desk = Desk::new();
    assert_eq!((desk.channel(0), desk.channel(0)), ("channel-1".to_owned(), "channel-1".to_owned()));
    desk.wait(299);
    assert_eq!(desk.channel(0), "channel-1");
    desk.wait(300);
    assert_eq!(desk.channel(0), "channel-2");
    desk.hand_over(0, 0).unwrap();
    desk.wait(3_000);
    assert_eq!(desk.channel(0), "channel-2", "something waits on it");
}

#[test]
fn an_endpoint_without_room_for_acknowledgements_is_asked_at_once() {
    let mut desk = Desk::new();
    desk.hand_over(0, 0).unwrap();
    assert_eq!(desk.book.question(desk.now), None);
    desk.book.hurry(0);
    assert_eq!(desk.book.next(desk.now), Some(Duration::ZERO));
    assert!(desk.book.question(desk.now).is_some());
    assert_eq!(desk.book.question(desk.now), None, "and not for ever");
}

#[test]
fn when_acknowledgement_ends_everything_is_sent_again() {
    let mut desk = Desk::new();
    let all = [desk.hand_over(0, 0).unwrap(), desk.hand_over(1, 0).unwrap(), desk.hand_over(1, 1).unwrap()];
    desk.book.lose_all("ACK is disabled");
    assert_eq!(desk.again(), all);
    assert_eq!(desk.book.next(desk.now), None);
}
