//! `top`: a live view of a running service's store, in a terminal.
//!
//! The store is read while the service writes it; what it does not hold (lag, readiness, how lanes do) is asked at the
//! service's admin port, and said to be out of reach where that does not answer. Changes nothing anywhere.
//!
//! [`look`] reads and asks, [`view`] is what is to be seen, [`keys`] what a key does, [`sheet`] a cluster's page,
//! [`draw`] a frame, [`front`] puts these together, [`screen`] has the terminal. Ratatui has its door here.

mod draw;
mod front;
mod keys;
mod look;
mod screen;
mod sheet;
mod view;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::draw::Paint;
use self::front::Front;
use self::look::Looker;
use super::wall_clock;
pub use crate::edge::admin::AdminPort;

/// Columns and lines of a frame that goes elsewhere than to a terminal.
const SIZE_ELSEWHERE: (u16, u16) = (120, 40);

/// What is to be shown, and how.
#[derive(Debug, Clone)]
pub struct TopOptions {
    /// The store.
    pub store: PathBuf,
    /// Where the service is asked.
    pub admin: AdminPort,
    /// Time from one look to the next.
    pub interval: Duration,
    /// One frame as text, without a terminal.
    pub once: bool,
    /// Whether there may be colours.
    pub color: bool,
}

/// Shows the store until somebody leaves or the process is told to end; or writes one frame to `out`.
///
/// # Errors
/// There is no store that can be read when it begins, no terminal, or the terminal was taken away.
pub async fn top(options: TopOptions, out: &mut dyn Write) -> Result<()> {
    let mut looker = Looker::new(&options)?;
    if options.once {
        return once(looker, out);
    }
    looker.check()?;
    let told_to_end = end_signal()?;
    let stop = Arc::new(AtomicBool::new(false));
    let is_stopped = Arc::clone(&stop);
    let mut tasks = JoinSet::new();
    tasks.spawn_blocking(move || screen::run(&options, looker, &is_stopped));
    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        () = told_to_end => {
            stop.store(true, Ordering::Relaxed);
            tasks.join_next().await
        }
    };
    ended.map_or(Ok(()), |ended| ended.map_err(anyhow::Error::from).flatten())
}

/// Resolves when the process is told to end, in whatever way: the terminal is given back then, too.
fn end_signal() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut hangup, mut quit) = (signal(SignalKind::hangup())?, signal(SignalKind::quit())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    })
}

/// Writes one frame as text, as wide as the terminal if there is one.
fn once(mut looker: Looker, out: &mut dyn Write) -> Result<()> {
    let view = looker.look(true);
    if let Some(fault) = &view.store.fault {
        bail!("{fault}");
    }
    let size = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, height)| (width.0, height.0));
    let (width, height) = size.unwrap_or(SIZE_ELSEWHERE);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    Front::new(view, Paint { color: false }, false).frame(area, &mut buffer, wall_clock(), false);
    Ok(out.write_all(draw::text_of(&buffer).as_bytes())?)
}
