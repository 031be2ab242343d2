use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;

use super::cause::{NAMED_AT, Scored};
use super::*;
use crate::pipeline::alert::Severity;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::cell::text_id;
use crate::pipeline::event::{RecoveryOutcome, RetryOutcome};
use crate::pipeline::observation::Observation;
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::tally::{Circumstances, Poisoning};

const CALM: Circumstances = Circumstances {
    hostile: false,
    gate: Gate::Safe,
    link: Link { continues: false, changed_before: false, gate_before: None },
    poisoned: None,
};

/// A contained panic of release 1.0 on route 1 of service 1, of customer `n`.
fn calm(n: u64) -> Observation<'static> {
    let mut o = event(n, key(1_001, 1, 1, 1));
    o.expected = None;
    (o.token, o.source.prefix_id) = (None, Some(id(n)));
    o.release = Some(Cow::Borrowed("1.0"));
    o.recovery = RecoveryOutcome::Degraded;
    o.status = Some(500);
    o.attempt = 1;
    o.aftermath.retry = RetryOutcome::NotRetried;
    o.aftermath.region = Some(Cow::Borrowed("eu"));
    o.isolate = Some(id(n % 4));
    class(&mut o, "option_none", false);
    o
}

fn class(o: &mut Observation<'static>, class: &str, secondary: bool) {
    let panic = Arc::make_mut(&mut o.panic);
    (panic.class, panic.secondary) = (class.to_owned(), secondary);
}

/// One tenant's storms over time, in minutes from an hour on the clock.
#[derive(Default)]
struct Stream {
    ledger: Ledger,
    storms: Storms,
    alarms: Alarms,
    names: Names,
    told: Vec<Alert>,
    n: u64,
}

impl Stream {
    /// Puts `per_minute` panics into each of these minutes, and looks at the end of each.
    fn run(
        &mut self,
        minutes: std::ops::Range<i64>,
        per_minute: u64,
        make: impl Fn(u64) -> (Observation<'static>, Circumstances),
    ) {
        for minute in minutes {
            for k in 0..per_minute {
                self.n += 1;
                let (mut o, circumstances) = make(self.n);
                o.time = Millis(minute * Millis::MINUTE + i64::try_from(k % 60).unwrap() * Millis::SECOND);
                self.learn(&o);
                self.ledger.observe(&o, circumstances);
            }
            self.look(Millis((minute + 1) * Millis::MINUTE));
        }
    }

    fn learn(&mut self, o: &Observation<'_>) {
        let tenant = o.cell.tenant;
        self.names.learn(o.cell.service, &o.service);
        self.names.learn(o.cell.route, &o.route);
        self.names.learn(text_id(tenant, &o.panic.class), &o.panic.class);
        if let Some(release) = &o.release {
            self.names.learn(text_id(tenant, release), release);
        }
    }

    fn look(&mut self, now: Millis) {
        self.ledger.settle();
        let policy = AlertPolicy::default();
        let scene = Scene { ledger: &self.ledger, names: &self.names, policy: &policy, model: "m", now };
        self.storms.close(scene, &mut self.alarms, &mut self.told);
    }

    /// Two hours with a panic a minute.
    fn usual() -> Self {
        let mut stream = Self::default();
        stream.run(0..120, 1, |n| (calm(n), CALM));
        assert_eq!(stream.told, [], "nothing is going on");
        stream
    }

    fn changes(&self) -> Vec<Change> {
        self.told.iter().map(|alert| alert.change).collect()
    }

    fn causes(&self) -> Vec<Scored> {
        let (_, storm) = self.storms.iter().next().unwrap();
        self.storms.picture(storm, &self.ledger, &self.names, storm.above).ranked()
    }
}

/// After two usual hours, ten minutes of these, thirty a minute: one alert, with this cause.
#[track_caller]
fn check(make: impl Fn(u64) -> (Observation<'static>, Circumstances), expected: Cause) -> Stream {
    let mut stream = Stream::usual();
    stream.run(120..130, 30, make);
    assert_eq!(stream.changes(), [Change::Opened], "one storm gives one alert");
    let (_, storm) = stream.storms.iter().next().unwrap();
    let picture = stream.storms.picture(storm, &stream.ledger, &stream.names, storm.above);
    assert_eq!(picture.cause(), expected, "{:#?}", picture.ranked());
    let alert = stream.told.first().unwrap();
    assert_eq!((alert.category, alert.cluster.as_str()), (Category::Storm, storm.name.as_str()));
    stream
}

#[test]
fn a_release_that_breaks_something_is_named() {
    let bad = |n| {
        let mut o = calm(n);
        o.release = Some(Cow::Borrowed("2.0"));
        (o, CALM)
    };
    let stream = check(bad, Cause::Release);
    let title = &stream.told.first().unwrap().portrait.title;
    assert!(title.contains("release 2.0 has 100 % of them; contained"), "{title}");
    assert!(title.starts_with("storm on GET /: 30 panics in 1 minute where 1 are usual"), "{title}");
    let changes = &stream.told.first().unwrap().findings;
    let before: Vec<&str> =
        changes.iter().filter(|one| one.name == "changed_before").map(|one| one.words.as_str()).collect();
    assert_eq!(before, ["1970-01-01T02:00:00.000Z: release 2.0 first panicked"]);
}

#[test]
fn a_release_that_was_always_there_is_not_to_blame() {
    check(|n| (calm(n), CALM), Cause::Unknown);
}

#[test]
fn one_customer_is_named() {
    let alone = |n| {
        let mut o = calm(n);
        (o.token, o.source.prefix_id) = (None, Some(id(7)));
        (o, CALM)
    };
    let stream = check(alone, Cause::OneCustomer);
    assert!(stream.told.first().unwrap().portrait.title.contains("one customer has"));
}

#[test]
fn what_many_routes_depend_on_is_named() {
    let broken = |n: u64| {
        let mut o = calm(n);
        o.cell = key(1_001, 1, 1 + n % 4, 1);
        o.route = Cow::Owned(format!("GET /{}", n % 4));
        class(&mut o, "environment", false);
        (o, CALM)
    };
    check(broken, Cause::Dependency);
    let poisoned = |n: u64| {
        let (mut o, _) = broken(n);
        class(&mut o, if n.is_multiple_of(3) { "option_none" } else { "mutex_poison" }, !n.is_multiple_of(3));
        (o, Circumstances { poisoned: (!n.is_multiple_of(3)).then_some(Poisoning::Further), ..CALM })
    };
    check(poisoned, Cause::Dependency);
}

#[test]
fn who_is_held_for_hostile_is_named_before_anything_else() {
    let attack = |n| {
        let mut o = calm(n);
        (o.token, o.source.prefix_id, o.release) = (None, Some(id(9)), Some(Cow::Borrowed("2.0")));
        (o, Circumstances { hostile: n.is_multiple_of(2) || n.is_multiple_of(3), ..CALM })
    };
    let stream = check(attack, Cause::Hostile);
    let named: Vec<Cause> = stream.causes().iter().filter(|one| one.score >= NAMED_AT).map(|one| one.cause).collect();
    assert_eq!(named, [Cause::Hostile, Cause::Release, Cause::OneCustomer]);
}

#[test]
fn retries_that_breed_panics_are_named() {
    let again = |n: u64| {
        let mut o = calm(n);
        o.attempt = 1 + u32::try_from(n % 4).unwrap();
        (o, Circumstances { link: Link { continues: !n.is_multiple_of(4), ..CALM.link }, ..CALM })
    };
    check(again, Cause::RetryCascade);
}

#[test]
fn a_storm_is_closed_once_it_is_calm_and_says_so() {
    let mut stream = check(|n| (calm(n), CALM), Cause::Unknown);
    stream.run(130..180, 1, |n| (calm(n), CALM));
    assert_eq!(stream.changes(), [Change::Opened, Change::Raised, Change::Closed]);
    let closed = stream.told.last().unwrap();
    assert!(closed.portrait.title.starts_with("over: storm on GET /: "), "{}", closed.portrait.title);
    assert_eq!(closed.cluster, stream.told.first().unwrap().cluster);
    let (_, storm) = stream.storms.iter().next().unwrap();
    assert!(storm.to.is_some_and(|to| (Millis(130 * Millis::MINUTE)..Millis(146 * Millis::MINUTE)).contains(&to)));
}

#[test]
fn a_storm_is_no_part_of_what_is_usual_for_the_next_one() {
    let mut stream = check(|n| (calm(n), CALM), Cause::Unknown);
    stream.run(130..300, 1, |n| (calm(n), CALM));
    stream.run(300..310, 30, |n| (calm(n), CALM));
    assert_eq!(stream.changes(), [Change::Opened, Change::Raised, Change::Closed, Change::Opened]);
    let expected = |alert: &Alert| alert.findings.iter().find(|one| one.name == "expected").unwrap().value.unwrap();
    let [first, .., second] = &stream.told[..] else { panic!("two storms") };
    assert!((expected(first) - expected(second)).abs() < 0.5, "{first:?} {second:?}");
}

#[test]
fn what_goes_on_for_hours_becomes_the_new_usual_and_is_told_as_that() {
    let mut stream = Stream::usual();
    stream.run(120..900, 10, |n| (calm(n), CALM));
    let grown = stream.changes().into_iter().filter(|change| *change != Change::Raised);
    assert_eq!(grown.collect::<Vec<_>>(), [Change::Opened, Change::Closed]);
    let title = &stream.told.last().unwrap().portrait.title;
    assert!(title.starts_with("no storm any more but the new usual: "), "{title}");
}

#[test]
fn a_service_that_is_new_has_no_usual_and_no_storm() {
    let mut stream = Stream::default();
    stream.run(0..29, 40, |n| (calm(n), CALM));
    assert_eq!(stream.told, []);
}

#[test]
fn a_service_that_was_healthy_for_days_is_known_all_the_same() {
    let mut stream = Stream::default();
    stream.run(0..1, 1, |n| (calm(n), CALM));
    let later = 3 * 24 * 60;
    stream.run(later..later + 5, 30, |n| {
        let mut o = calm(n);
        o.release = Some(Cow::Borrowed("2.0"));
        (o, CALM)
    });
    assert_eq!(stream.changes(), [Change::Opened]);
    let title = &stream.told.first().unwrap().portrait.title;
    assert!(title.contains("where 0.0 are usual; release 2.0 has 100 % of them"), "{title}");
}

#[test]
fn few_events_and_a_growing_morning_are_no_storm() {
    let mut stream = Stream::default();
    stream.run(0..300, 1, |n| (calm(n), CALM));
    // From one a minute to twelve over five hours, as a morning does.
    (0..300).for_each(|minute| {
        let rate = 1 + u64::try_from(minute / 25).unwrap();
        stream.run(300 + minute..301 + minute, rate, |n| (calm(n), CALM));
    });
    assert_eq!(stream.told, [], "a morning");
    let mut rare = Stream::default();
    rare.run(0..120, 0, |n| (calm(n), CALM));
    (0..600).for_each(|minute| rare.run(minute..minute + 1, u64::from(minute % 60 == 0) * 15, |n| (calm(n), CALM)));
    assert_eq!(rare.told, [], "fifteen events are nobody's night");
}

#[test]
fn what_comes_in_clumps_needs_more_to_be_a_burst() {
    let usual = |pages: &[u64]| {
        let mut usual = Usual { millis: i64::try_from(pages.len()).unwrap() * PAGE, ..Usual::default() };
        for n in pages {
            usual.add(*n, *n);
        }
        usual
    };
    let even = usual(&[5; 24]);
    let clumped = usual(&[[60, 0].as_slice(), &[0; 10], &[60], &[0; 11]].concat());
    assert_eq!((even.requests, clumped.requests), (120, 120));
    assert!((even.clumping() - 1.0).abs() < 1e-12 && clumped.clumping() > 30.0, "{}", clumped.clumping());
    assert!(even.probability(60, 2 * PAGE) < P_MAX_TESTED && clumped.probability(60, 2 * PAGE) > 1e-3);
    assert_eq!(Usual::default().expected(PAGE), None);
}

/// The limit, as it is documented.
const P_MAX_TESTED: f64 = 1e-6;

#[test]
fn an_announced_test_is_no_storm() {
    let mut stream = Stream::usual();
    stream.run(120..130, 60, |n| {
        let mut o = calm(n);
        o.expected = Some(Arc::from("load test"));
        (o, CALM)
    });
    assert_eq!(stream.told, []);
}

#[test]
fn routes_that_burst_together_are_one_storm_and_those_of_another_service_are_not() {
    let mut stream = Stream::usual();
    stream.run(120..130, 60, |n| {
        let mut o = calm(n);
        o.cell = key(1_001, 1, 1 + n % 3, 1);
        (o, CALM)
    });
    stream.run(130..131, 0, |n| (calm(n), CALM));
    assert_eq!(stream.changes(), [Change::Opened]);
    let (_, storm) = stream.storms.iter().next().unwrap();
    assert_eq!(storm.routes.len(), 3);
    let mut two = Stream::default();
    two.run(0..120, 2, |n| {
        let mut o = calm(n);
        o.cell = key(1_001 + n % 2, 1, 1, 1);
        (o, CALM)
    });
    two.run(120..130, 60, |n| {
        let mut o = calm(n);
        o.cell = key(1_001 + n % 2, 1, 1, 1);
        (o, CALM)
    });
    assert_eq!(two.changes(), [Change::Opened, Change::Opened]);
}

#[test]
fn a_service_whose_routes_all_grow_a_little_is_a_storm_of_the_service() {
    let mut stream = Stream::default();
    let wide = |n: u64| {
        let mut o = calm(n);
        o.cell = key(1_001, 1, n % 60, 1);
        (o, CALM)
    };
    stream.run(0..120, 1, wide);
    stream.run(120..130, 12, wide);
    assert_eq!(stream.changes(), [Change::Opened]);
    let (_, storm) = stream.storms.iter().next().unwrap();
    assert_eq!(storm.routes, BTreeSet::new());
}

#[test]
fn severity_is_of_impact_and_a_storm_that_grows_is_raised() {
    let mut stream = Stream::usual();
    stream.run(120..140, 30, |n| (calm(n), CALM));
    stream.run(140..160, 30, |n| {
        let mut o = calm(n);
        o.recovery = RecoveryOutcome::Aborted;
        (o, CALM)
    });
    assert_eq!(stream.changes(), [Change::Opened, Change::Raised, Change::Raised]);
    let severities: Vec<Severity> = stream.told.iter().map(|alert| alert.portrait.severity).collect();
    assert_eq!(severities, [Severity::Low, Severity::Medium, Severity::Critical]);
    assert!(stream.told.last().unwrap().portrait.title.contains("not contained: "));
}

#[test]
fn hostile_names_stay_one_line_in_every_text() {
    let mut stream = Stream::usual();
    stream.run(120..125, 30, |n| {
        let mut o = calm(n);
        // As the pipeline neutralises them before anything learns them.
        let shown = crate::pipeline::neutral::line("\u{1b}]0;owned\u{7}\r\n\u{202e}=cmd()|'%s' \"};", 200).into_owned();
        o.cell = key(1_001, 1, 99, 1);
        (o.route, o.release) = (Cow::Owned(shown.clone()), Some(Cow::Owned(shown)));
        (o, CALM)
    });
    let alert = stream.told.first().unwrap();
    let texts = alert.findings.iter().map(|one| &one.words).chain([&alert.portrait.title]);
    assert!(texts.clone().count() > 8);
    texts.for_each(|text| assert!(text.chars().all(crate::pipeline::neutral::is_shown), "{text:?}"));
}

#[test]
fn the_store_gives_back_what_was_taken() {
    let mut stream = check(|n| (calm(n), CALM), Cause::Unknown);
    let rows = stream.storms.take_rows();
    assert_eq!(rows.len(), 1);
    let read = |row: &StateRow| {
        (postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(row.value.as_ref().unwrap()).unwrap())
    };
    assert_eq!(Storms::restore(rows.iter().map(read)), stream.storms);
    assert!(stream.storms.take_rows().is_empty());
}

#[test]
fn classes_of_the_environment_are_those_of_the_model() {
    let model: toml::Value = toml::from_str(include_str!("../../../../models/panics.toml")).unwrap();
    let of = |class: &toml::Value, key: &str| class[key].as_str().unwrap().to_owned();
    let classes = model["class"].as_array().unwrap().iter();
    let mut named: Vec<String> = classes
        .filter(|class| ["environment", "resource"].contains(&of(class, "surface").as_str()))
        .map(|class| of(class, "id"))
        .collect();
    named.sort();
    assert_eq!(named, picture::ENVIRONMENT);
}

proptest! {
    /// Alerts follow from which events came in which epoch, in whatever order.
    #[test]
    fn order_within_an_epoch_changes_nothing(
        events in prop::collection::vec((0_u64..400, 0_i64..1), 60..120),
        order in any::<prop::sample::Index>(),
    ) {
        let told = |shift: usize| {
            let mut stream = Stream::default();
            stream.run(0..40, 1, |n| (calm(n), CALM));
            let mut events = events.clone();
            let len = events.len();
            events.rotate_left(shift % len);
            if shift % 2 == 1 {
                events.reverse();
            }
            for (n, second) in events {
                let mut o = calm(10_000 + n);
                o.cell = key(1_001, 1, 1 + n % 3, 1);
                o.release = Some(Cow::Owned(format!("{}.0", n % 2)));
                o.time = Millis(40 * Millis::MINUTE + second * Millis::SECOND);
                stream.learn(&o);
                stream.ledger.observe(&o, CALM);
            }
            stream.look(Millis(41 * Millis::MINUTE));
            (stream.told, stream.storms)
        };
        prop_assert_eq!(told(0), told(order.index(1_000)));
    }
}
