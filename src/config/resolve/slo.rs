//! The meaning of service level objectives: what they are about, and whether they go together.
//!
//! Part of [`super`]; the same rules hold. Two objectives that contradict each other are a fault of the later one; two that
//! share routes are allowed, and said as a warning.

use std::collections::BTreeSet;

use super::Scene;
use crate::config::fault::{KeyPath, plain};
use crate::config::file::slo::SloFile;
use crate::pipeline::alert::Severity;
use crate::pipeline::names::NAME_BYTES_MAX;
use crate::pipeline::neutral;
use crate::pipeline::operations::budget::slo::{AlarmRule, MILLION, Slo};
use crate::pipeline::operations::tally::Burn;

/// All objectives, in order, with what is worth a look; faulty ones are left out, their faults noted.
pub(super) fn all(files: &[SloFile], scene: &mut Scene<'_>) -> (Vec<Slo>, Vec<String>) {
    let at = |place| KeyPath::default().key("slo").index(place);
    let mut slos: Vec<(usize, Slo)> = Vec::new();
    let mut warnings = Vec::new();
    for (place, file) in files.iter().enumerate() {
        let Some(slo) = one(file, &at(place), scene) else { continue };
        beside(&slo, &at(place), &slos, scene);
        let overlapping = slos.iter().find(|(_, other)| overlap(&slo, other));
        warnings.extend(overlapping.map(|(_, other)| {
            format!(
                "{}: it shares requests with \"{}\"; a failure among them burns both budgets, and may be alerted twice",
                at(place),
                other.name
            )
        }));
        warnings.extend(out_of_reach(&slo).map(|warning| format!("{}: {warning}", at(place))));
        slos.push((place, slo));
    }
    (slos.into_iter().map(|(_, slo)| slo).collect(), warnings)
}

fn one(file: &SloFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<Slo> {
    let name = file.name.as_ref()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(fits) {
        let allowed = "letters, digits, \"-\", \"_\" and \".\" are allowed in a name";
        scene.faults.push(at.key("name"), format!("found \"{}\"", plain(name)), allowed);
    }
    let budget_ppm = file.objective.and_then(|objective| budget_ppm(objective, &at.key("objective"), scene));
    let routes = routes(&file.routes, &at.key("routes"), scene);
    let counts = counts(&file.counts, &at.key("counts"), scene);
    if !file.alert {
        let set = [
            ("alert_events_min", file.alert_events_min.is_some()),
            ("burn_1h", file.burn_1h.is_some()),
            ("burn_6h", file.burn_6h.is_some()),
            ("burn_3d", file.burn_3d.is_some()),
        ];
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            scene.faults.push(at.key(key), "a limit of an alert that is off", "remove it, or alert = false");
        }
    }
    Some(Slo {
        name: name.clone(),
        tenant: file.tenant.clone(),
        service: file.service.clone()?,
        routes,
        budget_ppm: budget_ppm?,
        window_days: file.window_days,
        counts,
        alarm: file.alert.then(|| AlarmRule { limits: file.limits(), events_min: file.events_min() }),
    })
}

/// The share that may fail, in parts of a million.
fn budget_ppm(objective: f64, at: &KeyPath, scene: &mut Scene<'_>) -> Option<u32> {
    let found = format!("found {objective}");
    if !(objective > 0.0 && objective < 1.0) {
        let allowed = "a number above 0 and below 1 is expected: 1 leaves no budget, 0 no objective";
        scene.faults.push(at.clone(), found, allowed);
        return None;
    }
    let budget_ppm = Slo::budget_of(objective);
    if budget_ppm.is_none() {
        scene.faults.push(at.clone(), found, "at most six decimals are expected, such as 0.9995");
    }
    budget_ppm
}

/// Routes as events have them: method and template.
fn routes(files: &[String], at: &KeyPath, scene: &mut Scene<'_>) -> Vec<String> {
    let mut routes: Vec<String> = Vec::new();
    for (place, text) in files.iter().enumerate() {
        let route = neutral::line(text, NAME_BYTES_MAX).into_owned();
        let is_method =
            |method: &str| !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let fits = route.split_once(' ').is_some_and(|(method, path)| is_method(method) && !path.trim().is_empty());
        let (at, found) = (at.index(place), format!("found \"{}\"", plain(text)));
        if !fits {
            let allowed = "no route is called so: a method and a path are expected, such as POST /v1/orders";
            scene.faults.push(at, found, allowed);
        } else if routes.contains(&route) {
            scene.faults.push(at, format!("\"{}\" stands twice", plain(text)), "name each route once");
        } else {
            routes.push(route);
        }
    }
    routes
}

fn counts(files: &[Burn], at: &KeyPath, scene: &mut Scene<'_>) -> BTreeSet<Burn> {
    let mut counts = BTreeSet::new();
    for (place, burn) in files.iter().enumerate() {
        if !counts.insert(*burn) {
            scene.faults.push(at.index(place), format!("\"{}\" stands twice", burn.name()), "name each once");
        }
    }
    counts
}

/// Notes what contradicts an earlier objective.
fn beside(slo: &Slo, at: &KeyPath, earlier: &[(usize, Slo)], scene: &mut Scene<'_>) {
    if earlier.iter().any(|(_, other)| other.name == slo.name) {
        let found = format!("the name \"{}\" stands twice", plain(&slo.name));
        scene.faults.push(at.key("name"), found, "each name must be unique");
    }
    let same = |other: &Slo| {
        let routes = |slo: &Slo| slo.routes.iter().cloned().collect::<BTreeSet<_>>();
        (&other.tenant, &other.service, other.window_days, &other.counts)
            == (&slo.tenant, &slo.service, slo.window_days, &slo.counts)
            && routes(other) == routes(slo)
    };
    if let Some((place, other)) = earlier.iter().find(|(_, other)| same(other)) {
        let found =
            format!("found {}, and slo[{place}] says {} of the same requests", slo.objective(), other.objective());
        let allowed = "one objective for the same service, routes, window and counts: keep one of them";
        scene.faults.push(at.key("objective"), found, allowed);
    }
}

fn overlap(slo: &Slo, other: &Slo) -> bool {
    let share = |a: &[String], b: &[String]| a.is_empty() || b.is_empty() || a.iter().any(|route| b.contains(route));
    (&slo.tenant, &slo.service) == (&other.tenant, &other.service) && share(&slo.routes, &other.routes)
}

/// Pairs of windows that can never burn at their limit: more than all requests would have to fail.
fn out_of_reach(slo: &Slo) -> Option<String> {
    slo.alarm?;
    let highest = f64::from(MILLION) / f64::from(slo.budget_ppm);
    let unreachable = slo.pairs().filter(|pair| pair.limit > highest).map(|pair| match pair.severity {
        Severity::Critical => "burn_1h",
        Severity::High => "burn_6h",
        Severity::Medium | Severity::Low => "burn_3d",
    });
    let unreachable: Vec<&str> = unreachable.collect();
    (!unreachable.is_empty()).then(|| {
        format!(
            "its budget burns {highest:.2} times too fast when every request fails; the limit of {} is never reached",
            unreachable.join(" and ")
        )
    })
}
