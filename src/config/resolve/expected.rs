//! The meaning of announced tests: who sends, when it begins and ends.
//!
//! Part of [`super`]; the same rules hold.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Scene;
use crate::config::ExpectedSettings;
use crate::config::fault::{KeyPath, plain};
use crate::config::file::expected::ExpectedFile;
use crate::pipeline::event::Millis;

/// All announcements, in order; faulty ones are left out, their faults noted.
pub(super) fn all(files: &[ExpectedFile], scene: &mut Scene<'_>) -> Vec<ExpectedSettings> {
    let at = |place| KeyPath::default().key("expected").index(place);
    files.iter().enumerate().filter_map(|(place, file)| one(file, &at(place), scene)).collect()
}

fn one(file: &ExpectedFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<ExpectedSettings> {
    let from = time(file.from.as_deref(), &at.key("from"), scene);
    let until = time(file.until.as_deref(), &at.key("until"), scene);
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        scene.faults.push(at.key("until"), format!("found {until}"), format!("a time after from, {from}, is needed"));
    }
    if file.sources.is_empty() && file.tokens.is_empty() {
        let allowed = "name sources or tokens: an announcement never holds for everyone";
        scene.faults.push(at.clone(), "it names no sender", allowed);
    }
    let sources = file.sources.iter().enumerate();
    let sources = sources.filter_map(|(place, text)| network(text, &at.key("sources").index(place), scene)).collect();
    let reason = file.reason.as_ref()?;
    Some(ExpectedSettings {
        reason: file.ticket.as_ref().map_or_else(|| reason.clone(), |ticket| format!("{reason} ({ticket})")),
        from: from?,
        until: until?,
        sources,
        tokens: file.tokens.clone(),
        services: file.services.clone(),
        routes: file.routes.clone(),
    })
}

fn time(text: Option<&str>, at: &KeyPath, scene: &mut Scene<'_>) -> Option<Millis> {
    let time = Millis::parse(text?);
    if time.is_none() {
        let allowed = "a date and time with an offset is expected, such as 2026-09-14T08:00:00Z";
        scene.faults.push(at.clone(), format!("found \"{}\"", plain(text?)), allowed);
    }
    time
}

/// A network, or an address alone.
fn network(text: &str, at: &KeyPath, scene: &mut Scene<'_>) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    if network.is_none_or(|network| network.prefix_len() == 0) {
        let allowed = "an address or a network is expected, such as 203.0.113.0/28 or 2001:db8::/48";
        scene.faults.push(at.clone(), format!("found \"{}\"", plain(text)), allowed);
        return None;
    }
    network
}
