//! The meaning of what the operator says of retries and releases.
//!
//! Part of [`super`]; the same rules hold.

use super::Scene;
use crate::config::fault::KeyPath;
use crate::config::file::FileConfig;
use crate::config::file::operations::{CascadeFile, IdempotentFile, MeasureFile, RollbackFile};
use crate::pipeline::operations::Rules;
use crate::pipeline::operations::budget::slo::Slo;
use crate::pipeline::operations::cascade::CascadeLimits;
use crate::pipeline::operations::idempotent::{Declaration, Declared};
use crate::pipeline::operations::rollback::{Measure, Rule};

/// Minutes of a page of the account: windows are whole pages.
const PAGE_MINUTES: u32 = 5;

/// Declarations, limits, criteria and the objectives; what is faulty is left out, its fault noted.
pub(super) fn rules(config: &FileConfig, slos: Vec<Slo>, scene: &mut Scene<'_>) -> Rules {
    let cascade = cascade(&config.cascade, scene);
    let at = |place| KeyPath::default().key("rollback").index(place);
    let rollback = config.rollback.iter().enumerate();
    let rollback: Vec<Rule> = rollback.filter_map(|(place, file)| rule(file, &at(place), scene)).collect();
    Rules {
        declared: Declared::new(config.idempotent.iter().filter_map(declaration).collect()),
        cascade,
        rollback: if config.rollback.is_empty() { Rule::usual() } else { rollback },
        slos,
    }
}

fn declaration(file: &IdempotentFile) -> Option<Declaration> {
    Some(Declaration { service: file.service.clone()?, routes: file.routes.clone()? })
}

fn cascade(file: &CascadeFile, scene: &mut Scene<'_>) -> CascadeLimits {
    let at = KeyPath::default().key("cascade");
    CascadeLimits {
        amplification: file.amplification,
        growth: file.growth,
        retries_min: file.retries_min,
        window_pages: pages(file.window_minutes, &at.key("window_minutes"), scene),
    }
}

fn rule(file: &RollbackFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<Rule> {
    let (measure, limit) = (file.measure?, file.limit?);
    let is_share = matches!(measure, MeasureFile::UnhandledShare | MeasureFile::RecoveryShare);
    if is_share && limit > 1.0 {
        scene.faults.push(at.key("limit"), format!("found {limit}"), "a share from 0 to 1 is expected");
    }
    if !is_share && limit < 1.0 {
        let allowed = "a multiple of at least 1 is expected: below it nothing has become worse";
        scene.faults.push(at.key("limit"), format!("found {limit}"), allowed);
    }
    Some(Rule {
        measure: match measure {
            MeasureFile::Amplification => Measure::Amplification,
            MeasureFile::PanicShare => Measure::PanicShare,
            MeasureFile::UnhandledShare => Measure::UnhandledShare,
            MeasureFile::RecoveryShare => Measure::RecoveryShare,
        },
        limit,
        window_pages: pages(file.window_minutes, &at.key("window_minutes"), scene),
        events_min: file.events_min,
        services: file.services.clone(),
    })
}

fn pages(minutes: u32, at: &KeyPath, scene: &mut Scene<'_>) -> i64 {
    if !minutes.is_multiple_of(PAGE_MINUTES) {
        scene.faults.push(at.clone(), format!("found {minutes}"), "a multiple of 5 is expected");
    }
    i64::from(minutes / PAGE_MINUTES)
}
