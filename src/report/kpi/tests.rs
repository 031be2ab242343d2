use super::*;
use crate::report::scope::Exposure;

const HOUR: u64 = 3_600_000;

fn measures(events: u64, user_visible: u64, hours: u64) -> Measures {
    let to = Millis(i64::try_from(hours * HOUR).unwrap());
    Measures {
        from: Millis(0).to_string(),
        to: to.to_string(),
        pages_of: "1 hour".to_owned(),
        exposure: Exposure { millis: hours * HOUR, requests: 0, gaps: 0 },
        events,
        user_visible,
        server_errors: user_visible,
        breakers_opened: None,
        isolate_told: events,
        poisoned: 0,
        poisoning_incidents: Some(0),
        containment: Containment::default(),
        handled: events,
        handled_told: events,
    }
}

fn kpi(now: &Measures, before: Option<&Measures>, name: &str) -> Kpi {
    kpis(now, before).into_iter().find(|kpi| kpi.name == name).unwrap()
}

#[test]
fn a_goal_is_met_when_the_whole_interval_is_on_its_side() {
    let check = |k1, k0, standing, words: &str| {
        let found = kpi(&measures(10_000, k1, 24), Some(&measures(10_000, k0, 24)), "user_visible_failures");
        assert_eq!(found.standing, standing, "{}", found.words);
        assert!(found.words.contains(words), "{}", found.words);
    };
    check(500, 1_000, Standing::Met, "reduced by 50.0 % (44.2 % to 55.3 %), by time");
    check(900, 1_000, Standing::NotMet, "reduced by 10.0 %");
    check(680, 1_000, Standing::NotEnoughData, "reduced by 32.0 %");
    check(3, 10, Standing::NotEnoughData, "reduced by 70.0 %");
    check(5, 0, Standing::NotMet, "to 8.3 %");
    check(0, 40, Standing::Met, "reduced by 100.0 % (90.3 % to 100.0 %)");
    check(0, 0, Standing::NotEnoughData, "nothing to reduce");
}

#[test]
fn a_rate_is_per_request_only_where_all_requests_are_told() {
    let with = |k, requests, gaps| {
        let mut measures = measures(10_000, k, 24);
        (measures.exposure.requests, measures.exposure.gaps) = (requests, gaps);
        measures
    };
    let check = |now: &Measures, before: &Measures, per, estimate: f64| {
        let found = kpi(now, Some(before), "user_visible_failures");
        assert_eq!(found.per, Some(per));
        assert!((found.value.unwrap().estimate - estimate).abs() < 1e-12, "{found:?}");
    };
    // Twice the traffic with as many failures is half the rate.
    check(&with(1_000, 200_000, 0), &with(1_000, 100_000, 0), Per::Request, 0.5);
    check(&with(1_000, 200_000, 1), &with(1_000, 100_000, 0), Per::Time, 0.0);
    check(&with(1_000, 200_000, 0), &with(1_000, 0, 0), Per::Time, 0.0);
}

#[test]
fn what_nobody_tells_cannot_be_said() {
    let (now, before) = (measures(100, 9, 24), measures(100, 30, 24));
    let breakers = kpi(&now, Some(&before), "circuit_breaker_activations");
    assert_eq!((breakers.standing, breakers.value), (Standing::CannotBeSaid, None));
    let told = |n| Measures { breakers_opened: Some(n), ..measures(100, 9, 24) };
    assert_eq!(kpi(&told(2), Some(&before), "circuit_breaker_activations").standing, Standing::CannotBeSaid);
    assert_eq!(kpi(&told(2), Some(&told(40)), "circuit_breaker_activations").standing, Standing::Met);
    assert_eq!(kpi(&told(2), None, "circuit_breaker_activations").standing, Standing::NoBaseline);
    let nameless = Measures { isolate_told: 0, poisoning_incidents: None, ..now.clone() };
    assert_eq!(kpi(&nameless, Some(&before), "poisoned_isolates").standing, Standing::CannotBeSaid);
    assert_eq!(kpi(&now, Some(&before), "poisoned_isolates").standing, Standing::Met);
    let poisoned = Measures { poisoned: 7, poisoning_incidents: Some(2), ..now.clone() };
    let found = kpi(&poisoned, None, "poisoned_isolates");
    assert_eq!(found.standing, Standing::NotMet);
    assert!(
        found.words.starts_with("2 isolates were left poisoned") && found.words.contains("7 requests"),
        "{found:?}"
    );
}

#[test]
fn what_is_still_open_is_longer_than_anything_that_is_over() {
    let minute = Millis::MINUTE;
    let check = |durations: &[Option<i64>], standing, words: &str| {
        let containment = crate::report::lives::median(durations.iter().copied()).into();
        let found = kpi(&Measures { containment, ..measures(100, 9, 24) }, None, "detection_to_containment");
        assert_eq!(found.standing, standing, "{}", found.words);
        assert!(found.words.starts_with(words), "{}", found.words);
    };
    check(&[], Standing::NotEnoughData, "nothing was first alerted in the period");
    check(&[Some(minute); 3], Standing::NotEnoughData, "median from first alert to last event 1 min 0 s (too few");
    check(
        &[Some(minute); 8],
        Standing::Met,
        "median from first alert to last event 1 min 0 s (1 min 0 s to 1 min 0 s)",
    );
    check(&[Some(9 * minute); 8], Standing::NotMet, "median from first alert to last event 9 min 0 s");
    check(&[None; 8], Standing::NotMet, "median from first alert to last event still open (still open to still open)");
    let mut mixed = vec![Some(minute); 5];
    mixed.extend([None; 4]);
    check(&mixed, Standing::NotEnoughData, "median from first alert to last event 1 min 0 s (1 min 0 s to still open)");
}

#[test]
fn a_baseline_file_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("before.json");
    let good = measures(100, 9, 24);
    let file = |schema: &str, service: Option<&str>, period: &Measures| {
        serde_json::json!({"schema": schema, "service": service, "period": period, "baseline": null, "kpis": []})
            .to_string()
    };
    let check = |text: &str, service: Option<&str>, expected: &str| {
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", measures::read(&path, service).unwrap_err());
        assert!(error.contains(expected) && error.contains("before.json"), "{error}");
    };
    std::fs::write(&path, file(SCHEMA, Some("shop"), &good)).unwrap();
    assert_eq!(measures::read(&path, Some("shop")).unwrap(), good);
    check(&file(SCHEMA, Some("shop"), &good), None, "is of shop, and all services");
    check(&file("kpi.v9", None, &good), None, "this is kpi.v9, not kpi.v1");
    check("[]", None, "this is nothing, not kpi.v1");
    check("{\"schema\":", None, "EOF");
    check("{\"schema\":\"kpi.v1\"}", None, "period");
    check(&" ".repeat(70_000), None, "more than 65536 bytes");
    let wrong = |change: fn(&mut Measures)| {
        let mut measures = good.clone();
        change(&mut measures);
        file(SCHEMA, None, &measures)
    };
    check(&wrong(|m| m.events = 0), None, "no events");
    check(&wrong(|m| m.user_visible = 101), None, "a part of its events");
    check(&wrong(|m| m.handled = 101), None, "more events are handled");
    check(&wrong(|m| m.from.clone_from(&m.to)), None, "ends before it begins");
    check(&wrong(|m| m.from = "yesterday".to_owned()), None, "its times are none");
    check(&wrong(|m| m.exposure.millis = 25 * HOUR), None, "more time than it spans");
    std::fs::remove_file(&path).unwrap();
    assert!(measures::read(&path, None).is_err());
}
