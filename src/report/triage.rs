//! `panicsift triage`: what is happening now, in one screen.
//!
//! Reads the store alone, and of it the ledger, the situations, the storms and how clusters stand: no cells. A storm is
//! told as the ledger shows it at this moment, whatever its last alert said; every other open situation as its last alert
//! says, whoever raised it. *Now* is the event time up to which the service has looked.
//!
//! [`watch`] opens the store anew at each look, so that a store that is busy, being replaced or not there yet costs a
//! line on the screen and no more.
//!
//! Cost: reading some thousand rows, of which only pages of the last days are decoded; see [`gather`].

mod gather;
mod screen;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use self::gather::Scene;
use super::period::Instant;
use super::sheet::printable;
use crate::edge::store::Store;

/// Lines of a screen where standard output is no terminal.
const LINES_ELSEWHERE: u16 = 24;

/// Columns of a screen where standard output is no terminal.
const COLUMNS_ELSEWHERE: u16 = 80;

/// To the upper left corner, and nothing below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// People: one screen.
    People,
    /// Machines: one object a look.
    Machines,
}

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Situations that ended since then are told as well; `None`: the last six hours.
    pub since: Option<Instant>,
    /// How often to look again; `None`: once.
    pub every: Option<Duration>,
    /// Who reads it.
    pub form: Form,
}

/// Tells what is happening now from the store at `store`, to `out`.
///
/// # Errors
/// A store that is not there or cannot be read, and an output that cannot be written.
pub fn answer(store: &Path, look: &Look, out: &mut dyn Write) -> Result<()> {
    let scene = see(store, look)?;
    match look.form {
        Form::People => {
            let (columns, _) = screen_size();
            out.write_all(screen::draw(&scene, columns, None).as_bytes())?;
        }
        Form::Machines => writeln!(out, "{:#}", scene.object())?,
    }
    Ok(())
}

/// The same again and again, in place on a terminal, until the process is told to stop.
///
/// # Errors
/// An output that cannot be written.
pub fn watch(store: &Path, look: &Look, out: &mut dyn Write) -> Result<()> {
    loop {
        look_again(store, look, std::io::stdout().is_terminal(), out)?;
        std::thread::sleep(look.every.unwrap_or(Duration::from_secs(5)));
    }
}

/// One look of many: what goes wrong with the store is told and not final.
fn look_again(store: &Path, look: &Look, in_place: bool, out: &mut dyn Write) -> Result<()> {
    let seen = see(store, look);
    let (columns, lines) = screen_size();
    let text = match (&seen, look.form) {
        (Ok(scene), Form::People) => screen::draw(scene, columns, in_place.then_some(lines)),
        (Ok(scene), Form::Machines) => format!("{}\n", scene.object()),
        (Err(error), Form::People) => {
            screen::wrapped(&printable(&format!("the store cannot be read now, looking again: {error:#}")), columns)
        }
        (Err(error), Form::Machines) => {
            format!("{}\n", json!({"schema": gather::SCHEMA, "error": printable(&format!("{error:#}"))}))
        }
    };
    if in_place && look.form == Form::People {
        out.write_all(CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn see(store: &Path, look: &Look) -> Result<Scene> {
    Scene::of(&Store::open_read_only(store)?, look.since)
}

/// Columns and lines.
fn screen_size() -> (u16, u16) {
    terminal_size::terminal_size_of(std::io::stdout())
        .map_or((COLUMNS_ELSEWHERE, LINES_ELSEWHERE), |(width, height)| (width.0, height.0))
}

#[cfg(test)]
mod tests;
