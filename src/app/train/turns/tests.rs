use super::*;
use crate::app::train::sets::Label;

fn label(hostile: bool, campaign: &str, kind: &str) -> Label {
    Label { event_id: String::new(), hostile, campaign: campaign.to_owned(), kind: kind.to_owned(), authorised: false }
}

fn course(labels: &[Label]) -> Course<'_> {
    Course { labels: labels.iter().collect(), ..Course::default() }
}

fn names() -> Vec<Label> {
    (0..40).map(|n| label(n % 2 == 0, &format!("campaign-{n}"), "any")).collect()
}

#[test]
fn every_campaign_has_one_turn_whatever_set_it_is_in() {
    let labels = names();
    let (one, other) = (course(&labels), course(&labels[..7]));
    let turns = Turns::by_campaign(&[&one, &other], 0);
    assert_eq!(turns, Turns::by_campaign(&[&other, &one], 0));
    let taken: BTreeSet<u64> = labels.iter().map(|label| turns.of(&label.campaign).unwrap()).collect();
    assert_eq!(taken, (0..TURNS).collect());
    assert_eq!(turns.of("another"), None);
}

#[test]
fn another_seed_deals_campaigns_otherwise() {
    let labels = names();
    let course = course(&labels);
    let [zero, one, two] = [0, 1, 2].map(|seed| Turns::by_campaign(&[&course], seed));
    assert!(zero != one && one != two && zero != two);
}

#[test]
fn a_kind_is_left_out_whole_and_one_hostile_kind_at_a_time() {
    let labels = [
        label(true, "scan", "scanner"),
        label(true, "probe", "scanner"),
        label(true, "mutations", "fuzzer"),
        label(true, "replay", "dos"),
        label(false, "app", "buggy_client"),
        label(false, "kiosk", "buggy_client"),
        label(false, "shop", "background"),
        label(false, "links", "stale_links"),
        label(false, "books", "migration"),
    ];
    let course = course(&labels);
    let turns = Turns::by_kind(&[&course]).unwrap();
    assert_eq!(turns.n, 3);
    let of = |campaign| turns.of(campaign).unwrap();
    assert_eq!(of("scan"), of("probe"));
    assert_eq!(of("app"), of("kiosk"));
    let hostile: BTreeSet<u64> = ["scan", "mutations", "replay"].into_iter().map(of).collect();
    assert_eq!(hostile, (0..3).collect());
    let honest: BTreeSet<u64> = ["app", "shop", "links", "books"].into_iter().map(of).collect();
    assert_eq!(honest, (0..3).collect(), "honest kinds are spread over all turns");
}

#[test]
fn one_hostile_kind_alone_cannot_be_left_out() {
    let labels = [label(true, "scan", "scanner"), label(false, "app", "buggy_client")];
    assert_eq!(Turns::by_kind(&[&course(&labels)]), None);
    assert_eq!(Turns::by_kind(&[]), None);
}
