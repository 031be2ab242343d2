use super::*;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Id;
use crate::pipeline::tenant::Whereabouts;

/// Campaign, hostile, second of the event, cluster, verdict, second of the alert, points of the sender.
type Line = (&'static str, bool, i64, u64, Verdict, Option<i64>, Option<f64>);

/// What `score.py`, a scorer that knows nothing of this crate, was given as files: five events of a scan (one undecided
/// and in no cluster), three of a spray (found late), five honest ones, one of an authorised test.
const LINES: [Line; 14] = [
    ("scan", true, 0, 1, Verdict::Hostile, Some(15), Some(4.0)),
    ("scan", true, 10, 1, Verdict::Hostile, Some(15), Some(4.0)),
    ("scan", true, 20, 1, Verdict::Hostile, Some(15), Some(4.0)),
    ("scan", true, 30, 0, Verdict::Undecided, None, None),
    ("scan", true, 300, 1, Verdict::Hostile, Some(15), Some(4.0)),
    ("spray", true, 100, 2, Verdict::Hostile, Some(300), Some(4.0)),
    ("spray", true, 400, 3, Verdict::Benign, None, Some(-4.0)),
    ("spray", true, 410, 3, Verdict::Benign, None, Some(-4.0)),
    ("bug", false, 5, 1, Verdict::Hostile, Some(15), Some(4.0)),
    ("bug", false, 6, 3, Verdict::Benign, None, Some(-4.0)),
    ("bug", false, 7, 3, Verdict::Benign, None, Some(-4.0)),
    ("bug", false, 8, 3, Verdict::Benign, None, Some(-4.0)),
    ("mobile", false, 50, 4, Verdict::Hostile, Some(500), Some(4.0)),
    ("test", false, 60, 1, Verdict::Hostile, Some(15), Some(4.0)),
];

/// A map that halves the log odds.
const HALF: Calibration = Calibration { base_rate: 0.05, slope: 0.5, offset: 0.0 };

fn cluster(n: u64) -> Option<ClusterId> {
    (n > 0).then_some(ClusterId(Id(n)))
}

fn scored(counted: impl Fn(&Label) -> bool) -> Score {
    let label = |campaign: &str, hostile| Label {
        event_id: String::new(),
        hostile,
        campaign: campaign.to_owned(),
        kind: String::new(),
        authorised: campaign == "test",
    };
    let stand = |n, verdict, alerted: Option<i64>, points| {
        let alerted_at = alerted.map(|second| Millis(second * 1_000));
        Stand { whereabouts: Whereabouts { cluster: cluster(n), verdict, alerted_at }, points }
    };
    let lines: Vec<(Millis, Label, Stand)> = LINES
        .into_iter()
        .map(|(campaign, hostile, second, n, verdict, alerted, points)| {
            (Millis(second * 1_000), label(campaign, hostile), stand(n, verdict, alerted, points))
        })
        .collect();
    let told: Vec<Told<'_>> = lines.iter().map(|(time, label, stand)| (*time, label, stand)).collect();
    let opened = [1, 2, 4, 9].map(|n| Opened { cluster: cluster(n).unwrap().to_string(), points: 4.0 });
    let mut score = Score::default();
    score.add_told("set", &told, (&opened, &HALF), counted);
    score.days = 2.0;
    score
}

fn four_digits(values: [f64; 3]) -> [String; 3] {
    values.map(|value| format!("{value:.4}"))
}

#[test]
fn the_independent_scorer_says_the_same_of_the_same_events() {
    let score = scored(|_| true);
    assert_eq!(four_digits(score.last()), ["0.7143", "0.6250", "0.6667"]);
    assert_eq!(four_digits(score.prompt()), ["0.8000", "0.5000", "0.6154"]);
    assert_eq!(score.n_found(), (1, 2));
    assert_eq!(score.false_events(), (2.0, 4_000.0));
    assert_eq!(score.delays(), Some((1.5, 107.5)));
    assert_eq!(score.recalls(), "scan 0.80, spray 0.33");
    assert!(score.to_string().ends_with("honest campaigns over 5 %: set/bug 0.25, set/mobile 1.00"), "{score}");
}

#[test]
fn an_alert_belongs_to_whom_most_of_its_cluster_is_of() {
    let score = scored(|_| true);
    // Clusters 1 and 2 are hostile, 4 is honest, 9 is no more.
    assert_eq!((score.n_false_alerts, score.n_gone_alerts), (1, 1));
    let n_alerts: Vec<(&str, u32)> = score.hostile().map(|(name, c)| (name, c.n_alerts)).collect();
    assert_eq!(n_alerts, [("set/scan", 1), ("set/spray", 1)]);
    assert!(score.to_string().contains(", 0.5 false alerts a day, 1 alerts on clusters"), "{score}");
}

#[test]
fn what_is_not_counted_leaves_its_alerts_to_others() {
    let score = scored(|label| label.campaign == "spray" || label.campaign == "bug");
    assert_eq!(score.n_found(), (0, 1));
    assert_eq!(score.n_false_alerts, 0, "the alert on the one of `mobile` is that of a part that is not counted");
    assert_eq!(score.false_events(), (1.0, 2_500.0));
}

#[test]
fn a_probability_is_compared_with_the_truth() {
    let score = scored(|_| true);
    let sure = 1.0 / (1.0 + (-4.0_f64).exp());
    // Hostile and told so: 5; honest and told hostile: 2; hostile and told honest: 2, one of them without points; honest
    // and told so: 3.
    let squares =
        5.0 * (1.0 - sure).powi(2) + 2.0 * sure.powi(2) + 2.0 * sure.powi(2) + 1.0 + 3.0 * (1.0 - sure).powi(2);
    let Errors { brier, ece } = score.events.plain.errors();
    assert!((brier - squares / 13.0).abs() < 1e-12, "{brier}");
    let unsure = (7.0 * sure - 5.0).abs() + (5.0 * (1.0 - sure) - 3.0).abs();
    assert!((ece - unsure / 13.0).abs() < 1e-12, "{ece}");
    // Through the map 0.88 is told of the same five of seven that are hostile.
    let less = 1.0 / (1.0 + (-2.0_f64).exp());
    let ece = score.events.calibrated.errors().ece;
    assert!((ece - ((7.0 * less - 5.0).abs() + (5.0 * (1.0 - less) - 3.0).abs()) / 13.0).abs() < 1e-12, "{ece}");
}

#[test]
fn an_alert_is_as_sure_as_its_points_were_when_it_was_opened() {
    let told = scored(|_| true).reliability();
    // Of three alerts on clusters that are still there two are on hostile ones.
    assert!(told.contains("by alert, of the points: Brier 0.322, ECE 0.315: 0.98 told 0.67 true (3)"), "{told}");
    assert!(told.contains("by alert, calibrated: Brier 0.268, ECE 0.214: 0.88 told 0.67 true (3)"), "{told}");
}

#[test]
fn figures_have_the_names_and_digits_of_the_independent_scorer() {
    let figures = scored(|_| true).figures();
    let check = |name: &str, expected: Value| assert_eq!(figures[name], expected, "{name}");
    check("f1", json!(0.6667));
    check("prompt_f1", json!(0.6154));
    check("benign_over_5pct", json!(["bug", "mobile"]));
    check("false_alarms_per_10k_benign", json!(4_000.0));
    check("events_to_detect_median", json!(1.5));
    check("seconds_to_detect_median", json!(107.5));
    check("alerts_hostile", json!(2.0));
    check("alerts_benign", json!(1));
    check("alerts_unknown", json!(1));
    // A campaign without an alert is never detected: the middle of one that is and one that is not is no number.
    let lost = scored(|label| label.campaign != "spray").figures();
    assert_eq!(lost["events_to_detect_median"], json!(2.0));
    let never = Score::default().figures();
    assert_eq!((&never["events_to_detect_median"], &never["f1"]), (&Value::Null, &json!(0.0)));
}

#[test]
fn nothing_at_all_has_no_figures_and_no_panic() {
    let score = Score::default();
    assert_eq!(four_digits(score.last()), ["0.0000", "0.0000", "0.0000"]);
    assert_eq!((score.delays(), score.events.plain.errors(), score.n_found()), (None, Errors::default(), (0, 0)));
    assert_eq!(
        score.to_string(),
        "0 false events (0.0 in 10,000), 0.0 false alerts a day, Brier 0.000, ECE 0.000, honest campaigns over 5 %: none"
    );
}
