//! Frames as text, at every size: what must be there is there, nothing panics, and no text gets out of its cell.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::front::Front;
use super::super::keys::Key;
use super::super::view::testing::{HOSTILE, destination, row, view};
use super::super::view::{Memory, Service, StoreSight};
use super::*;
use crate::edge::admin::LaneState;
use crate::pipeline::alert::Verdict;
use crate::pipeline::neutral;

const NOW: Millis = Millis(1_789_380_002_000);

/// The frame after these keys, drawn by the terminal as ratatui does.
fn drawn(view: View, keys: &[Key], width: u16, height: u16) -> String {
    let mut front = Front::new(view, Paint { color: true }, true);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut draw = |front: &mut Front| {
        terminal.draw(|frame| front.frame(frame.area(), frame.buffer_mut(), NOW, false)).map(|_| ()).unwrap();
    };
    draw(&mut front);
    for key in keys {
        front.press(*key);
        draw(&mut front);
    }
    text_of(terminal.backend().buffer())
}

#[track_caller]
fn check(keys: &[Key], (width, height): (u16, u16), expected: &[&str]) -> String {
    let text = drawn(view(), keys, width, height);
    for expected in expected {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(text.lines().count() <= usize::from(height));
    assert!(text.lines().all(|line| Span::raw(line).width() <= usize::from(width)), "{text}");
    text
}

#[test]
fn an_ordinary_terminal_has_room_for_all_that_matters() {
    let text = check(
        &[],
        (80, 24),
        &[
            "panicsift top: 40 clusters, 2 hostile, 1 open alert",
            "service NOT READY, lag 12345 records, 340 records/s, reading 3 partitions",
            "destination splunk is on hold: Invalid token",
            "newest event 2026-09-14 09:41:00, 19 min ago; read 2 s ago in 0.04 s",
            "clusters by points, open alerts (!) first",
            "storms, cascades, rollbacks, budgets",
            "storm         high",
            "storm on POST /v1/orders: 312 panics",
            "1 to 11 of 40",
            "cluster     verdict   points  events last event  route",
            "!c-00000000 hostile     4.50      12 09-14 09:41",
            " c-00000000 hostile     9.75     300 09-14 09:40 POST /v1/orders/100",
            "destination    waiting  oldest delivered refused state",
            "splunk               3       -       120       2 ON HOLD: HTTP 403, code 4: Inv…",
            "elastic              3       -       120       2 delivering",
            "q quit  ? keys  arrows jk select  Enter open  s sort  v verdict  p pause  r read",
        ],
    );
    assert_eq!(text.lines().count(), 24, "no line is wasted\n{text}");
}

#[test]
fn a_wide_terminal_tells_more_of_each_cluster() {
    check(
        &[],
        (200, 50),
        &[
            "severity",
            "!c-0000000000000065 hostile",
            "medium",
            "2026-09-14 09:41:00",
            "on POST /v1/orders/101: 12 events",
        ],
    );
}

#[test]
fn a_narrow_terminal_keeps_the_columns_that_matter() {
    check(
        &[],
        (60, 20),
        &["2 hostile, 1 open alert", "cluster     verdict   points  events last event", "splunk", "ON HOLD"],
    );
    check(&[], (40, 12), &["2 hostile", "!c-00000000 hostile     4.50      12"]);
}

#[test]
fn the_smallest_terminals_show_what_alarms() {
    check(&[], (20, 5), &["2 hostile, 1 open a…", "!c-00000000 hostile", "q quit"]);
    check(&[], (20, 1), &["2 hostile"]);
    for (width, height) in [(0, 0), (1, 1), (0, 24), (80, 0), (2, 3), (3, 60), (500, 2)] {
        for keys in [&[][..], &[Key::Enter], &[Key::Char('?')], &[Key::Last]] {
            drawn(view(), keys, width, height);
        }
    }
}

#[test]
fn the_selected_cluster_is_always_on_the_screen() {
    for height in 4..40 {
        for presses in [0, 1, 17, 39, 60] {
            let mut front = Front::new(view(), Paint { color: true }, true);
            for _ in 0..presses {
                front.press(Key::Down);
            }
            let mut terminal = Terminal::new(TestBackend::new(80, height)).unwrap();
            terminal.draw(|frame| front.frame(frame.area(), frame.buffer_mut(), NOW, false)).unwrap();
            let buffer = terminal.backend().buffer();
            let is_selected = |y: u16| {
                let cell = buffer.cell((1, y)).unwrap();
                cell.symbol() == "c"
                    && cell.modifier.contains(Modifier::REVERSED)
                    && buffer.cell((2, y)).unwrap().symbol() == "-"
            };
            assert_eq!((0..height).filter(|y| is_selected(*y)).count(), 1, "{presses} of {height} lines");
        }
    }
}

#[test]
fn the_order_and_the_choice_are_told() {
    check(&[Key::Char('s')], (80, 24), &["clusters by events, open alerts"]);
    check(&[Key::Char('s'), Key::Char('s')], (80, 24), &["clusters by last event"]);
    check(&[Key::Char('v')], (80, 24), &["hostile clusters by points", "1 to 2 of 2"]);
    let mut nobody = view();
    nobody.memory =
        std::sync::Arc::new(Memory { clusters: vec![row(1, Verdict::Benign, 0.0, 1)], ..Memory::default() });
    assert!(drawn(nobody, &[Key::Char('v')], 80, 24).contains("no cluster has this verdict"));
}

#[test]
fn all_keys_are_listed_and_a_pause_is_seen() {
    for (key, _) in super::super::keys::KEYS {
        check(&[Key::Char('?')], (80, 24), &[key]);
    }
    check(&[Key::Char('?')], (80, 24), &["from line 1 of "]);
    check(&[Key::Char('?'), Key::Down], (80, 24), &["from line 2 of "]);
    check(&[Key::Char('p')], (80, 24), &["PAUSED", "p go on"]);
}

#[test]
fn what_cannot_be_read_or_reached_is_said_beside_what_was_seen() {
    let mut away = view();
    away.service = Service::NotReached { why: "http://127.0.0.1:9464: connection refused".to_owned() };
    away.store.fault = Some("the store is damaged".to_owned());
    away.destinations = vec![destination("siem", None)];
    let text = drawn(away, &[], 80, 24);
    for expected in [
        "service not reached: http://127.0.0.1:9464: connection refused",
        "store: the store is damaged (shown as read 2 s ago)",
        "siem                 3       -       120       2 not known",
        "!c-00000000 hostile",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn an_empty_store_and_a_store_that_was_not_read_say_so() {
    let mut empty = view();
    (empty.memory, empty.destinations) = (std::sync::Arc::default(), vec![]);
    let text = drawn(empty.clone(), &[Key::Enter, Key::Down], 80, 24);
    assert!(text.contains("the store holds no clusters yet"), "{text}");
    assert!(text.contains("no destination has read this outbox yet"), "{text}");
    empty.store = StoreSight::default();
    assert!(drawn(empty, &[], 80, 24).contains("the store was not read yet"));
}

#[test]
fn a_frame_without_keys_tells_of_none() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 40));
    let area = buffer.area;
    Front::new(view(), Paint { color: false }, false).frame(area, &mut buffer, NOW, false);
    let text = text_of(&buffer);
    assert!(!text.contains("quit"), "{text}");
    assert!(!buffer.content().iter().any(|cell| cell.fg != Color::Reset), "no colour");
}

#[test]
fn without_colour_only_weight_and_reversal_are_left() {
    for tone in [Tone::Plain, Tone::Head, Tone::Good, Tone::Bad, Tone::Dim] {
        assert_eq!(Paint { color: false }.of(tone).fg, None, "{tone:?}");
    }
    assert_eq!(Paint { color: true }.of(Tone::Bad).fg, Some(Color::Red));
}

#[test]
fn lines_are_shared_out_and_never_more_than_there_are() {
    let lines = |least, enough, most| Lines { least, enough, most };
    let check = |asked: &[Lines], room: u16, expected: &[u16]| assert_eq!(heights(asked, room), expected, "{room}");
    let usual = [lines(1, 3, 5), lines(3, 8, u16::MAX), lines(0, 4, 4), lines(1, 1, 1)];
    check(&usual, 24, &[5, 14, 4, 1]);
    check(&usual, 12, &[3, 8, 0, 1]);
    check(&usual, 5, &[1, 3, 0, 1]);
    check(&usual, 2, &[1, 1, 0, 0]);
    check(&usual, 0, &[0, 0, 0, 0]);
    check(&[], 5, &[]);
}

#[test]
fn an_age_is_told_in_its_largest_unit() {
    let check = |millis: i64, expected: &str| assert_eq!(age(millis), expected);
    check(i64::MIN, "0 s");
    check(59_999, "59 s");
    check(3_599_000, "59 min");
    check(86_399_000, "23 h");
    check(86_400_000, "1 d");
    check(i64::MAX, "106751991167 d");
}

#[test]
fn a_text_that_is_too_long_shows_that_it_goes_on() {
    let written = |text: &str, width: u16| {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let area = buffer.area;
        put(&mut buffer, area, text, Style::new());
        text_of(&buffer).trim_end().to_owned()
    };
    assert_eq!(written("abcdef", 6), "abcdef");
    assert_eq!(written("abcdefg", 6), "abcde…");
    assert_eq!(written("日本語", 5), "日本…");
    assert_eq!(written("日本語", 6), "日本語");
}

proptest! {
    #[test]
    fn whatever_senders_and_destinations_say_stays_inert_and_in_its_place(
        text in any::<String>(), width in 0_u16..130, height in 0_u16..30, keys in 0_usize..4,
    ) {
        let mut hostile = view();
        let text = super::super::super::plain(&format!("{text}{HOSTILE}{text}"));
        let mut one = row(1, Verdict::Hostile, 9.0, u64::MAX);
        one.title.clone_from(&text);
        one.route.clone_from(&text);
        hostile.memory = std::sync::Arc::new(Memory { clusters: vec![one], ..Memory::default() });
        hostile.destinations = vec![destination(&text, Some(LaneState::OnHold(text.clone())))];
        hostile.service = Service::NotReached { why: text.clone() };
        hostile.store.path = text;
        let keys = [&[][..], &[Key::Enter], &[Key::Char('?')], &[Key::Down, Key::Char('s')]][keys];
        let shown = drawn(hostile, keys, width, height);
        prop_assert!(shown.lines().count() <= usize::from(height));
        prop_assert!(shown.lines().all(|line| line.chars().all(neutral::is_shown)), "{shown:?}");
    }
}
