use super::*;

/// An example with two facts: `marks` by the first, `repeats` by the second.
fn example(marks: f64, repeats: f64, hostile: bool) -> Example {
    let mut facts = Facts::default();
    facts.0[Fact::Marks as usize] = marks;
    facts.0[Fact::Repeats as usize] = repeats;
    Example { facts, hostile, weight: 1.0 }
}

fn examples() -> Vec<Example> {
    (0..200)
        .map(|n| {
            let hostile = n % 4 == 0;
            let value = f64::from(n % 17) / 10.0;
            if hostile { example(1.0 + value, 0.0, true) } else { example(value / 2.0, value / 3.0, false) }
        })
        .collect()
}

fn points(fitted: &Fitted, fact: Fact) -> f64 {
    fitted.bins[fact as usize].iter().map(|(_, points)| points).sum()
}

#[test]
fn evidence_gets_points_for_hostile_and_defence_against() {
    let fitted = fit(&examples(), 20).unwrap();
    assert!(points(&fitted, Fact::Marks) > 1.0, "{fitted:?}");
    assert!(points(&fitted, Fact::Repeats) < -0.3, "{fitted:?}");
    assert!(fitted.bins[Fact::Breadth as usize].is_empty());
}

#[test]
fn evidence_that_the_examples_contradict_says_nothing() {
    let turned: Vec<Example> = examples().into_iter().map(|e| Example { hostile: !e.hostile, ..e }).collect();
    let fitted = fit(&turned, 20).unwrap();
    assert!(points(&fitted, Fact::Marks).abs() < 1e-9, "{fitted:?}");
    assert!(points(&fitted, Fact::Repeats).abs() < 1e-9, "{fitted:?}");
}

#[test]
fn what_few_campaigns_say_is_believed_less() {
    let [few, many] = [2, 40].map(|n_campaigns| fit(&examples(), n_campaigns).unwrap());
    assert!(points(&few, Fact::Marks) < 0.8 * points(&many, Fact::Marks), "{few:?} {many:?}");
}

#[test]
fn the_same_examples_give_the_same_points() {
    assert_eq!(fit(&examples(), 20), fit(&examples(), 20));
}

#[test]
fn examples_of_one_kind_teach_nothing() {
    assert_eq!(fit(&[], 0), None);
    let honest: Vec<Example> = examples().into_iter().filter(|e| !e.hostile).collect();
    assert_eq!(fit(&honest, 0), None);
}

#[test]
fn cuts_rise_and_stand_above_the_smallest_value() {
    let examples = examples();
    let weights = vec![1.0; examples.len()];
    for fact in 0..FACTS_LEN {
        let cuts = cuts(&examples, &weights, fact);
        assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]), "{cuts:?}");
        assert!(cuts.iter().all(|cut| *cut > 0.0), "{cuts:?}");
    }
}
