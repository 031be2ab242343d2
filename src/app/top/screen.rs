//! The terminal: taken, drawn on, read from, and given back on every way out.
//!
//! Given back when the loop ends, when a fault unwinds ([`Screen`] is dropped) and when a thread panics (the panic hook
//! gives it back before it tells). A thread of its own looks at the store and asks the service, one look at a time and
//! only when asked, so that keys are answered while a large store is read; it dies with the process, since a reader
//! holds nothing. At rest the loop wakes ten times a second and draws once a second, for the ages.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::super::{steady_clock, wall_clock};
use super::TopOptions;
use super::draw::Paint;
use super::front::Front;
use super::keys::{Key, Wish};
use super::look::Looker;
use super::view::View;

/// The loop wakes this often to see whether it is told to stop or something was read.
const WAKE: Duration = Duration::from_millis(100);

/// The screen is drawn at least this often, since it tells ages.
const DRAW_MAX: Duration = Duration::from_secs(1);

/// A look that takes longer is said to be under way.
const LONG_LOOK: Duration = Duration::from_millis(500);

/// A terminal that is ours until this is dropped.
struct Screen(DefaultTerminal);

impl Screen {
    fn enter() -> Result<Self> {
        let entered = ratatui::try_init().map(Self);
        if entered.is_err() {
            leave();
        }
        entered.context("the terminal could not be taken")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back; nobody is left to be told when it is gone.
fn leave() {
    drop(ratatui::try_restore());
}

/// Shows what there is until somebody leaves or `stop` is set.
///
/// # Errors
/// There is no terminal, it was taken away, or the reader of the store died.
pub(super) fn run(options: &TopOptions, looker: Looker, stop: &AtomicBool) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        bail!(
            "standard output is no terminal; `panicsift top --once` prints one frame as text, `panicsift report list` \
             ranks the clusters"
        );
    }
    let mut front = Front::new(looker.unseen(), Paint { color: options.color }, true);
    let mut reader = Reader::start(looker)?;
    let mut screen = Screen::enter()?;
    let (mut drawn, mut due, mut urgent) = (None::<Instant>, Some(steady_clock()), false);
    while !stop.load(Ordering::Relaxed) {
        let now = steady_clock();
        if let Some(view) = reader.view()? {
            front.take(view);
            (drawn, due) = (None, now.checked_add(options.interval));
        }
        let is_due = due.is_some_and(|due| now >= due) && !front.is_paused();
        if (urgent || is_due) && reader.ask(urgent, now) {
            urgent = false;
        }
        if drawn.is_none_or(|at| now.saturating_duration_since(at) >= DRAW_MAX) {
            let is_reading = reader.is_long(now);
            screen
                .0
                .draw(|frame| front.frame(frame.area(), frame.buffer_mut(), wall_clock(), is_reading))
                .context("the terminal cannot be written")?;
            drawn = Some(now);
        }
        if !event::poll(WAKE).context("the terminal cannot be read")? {
            continue;
        }
        // Of the other events only a new size matters, which the terminal asks for by itself when it is drawn on.
        if let Event::Key(pressed) = event::read().context("the terminal cannot be read")?
            && let Some(key) = key(pressed)
        {
            match front.press(key) {
                Wish::Quit => break,
                Wish::Refresh => urgent = true,
                Wish::Nothing => {}
            }
        }
        drawn = None;
    }
    Ok(())
}

/// The thread that looks.
struct Reader {
    asks: SyncSender<bool>,
    views: Receiver<View>,
    /// Since when a look is under way.
    since: Option<Instant>,
}

impl Reader {
    fn start(mut looker: Looker) -> Result<Self> {
        let (asks, asked) = sync_channel(1);
        let (seen, views) = sync_channel(1);
        let look = move || {
            for urgent in asked {
                if seen.send(looker.look(urgent)).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("top-reader".to_owned()).spawn(look).context("no thread could be started")?;
        Ok(Self { asks, views, since: None })
    }

    /// Asks for a look unless one is under way; whether it asked.
    fn ask(&mut self, urgent: bool, now: Instant) -> bool {
        let asks = self.since.is_none() && self.asks.try_send(urgent).is_ok();
        if asks {
            self.since = Some(now);
        }
        asks
    }

    /// What was seen, once.
    fn view(&mut self) -> Result<Option<View>> {
        match self.views.try_recv() {
            Ok(view) => {
                self.since = None;
                Ok(Some(view))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("reading the store ended by a fault in panicsift itself"),
        }
    }

    fn is_long(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= LONG_LOOK)
    }
}

/// What a key of the terminal means; `None`: nothing.
fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let is_plain = !pressed.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match pressed.code {
        KeyCode::Char('c') if pressed.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Interrupt),
        KeyCode::Char(c) if is_plain => Some(Key::Char(c)),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::First),
        KeyCode::End => Some(Key::Last),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_terminal_are_ours() {
        let check = |code, modifiers, expected| assert_eq!(key(KeyEvent::new(code, modifiers)), expected, "{code:?}");
        check(KeyCode::Char('q'), KeyModifiers::NONE, Some(Key::Char('q')));
        check(KeyCode::Char('G'), KeyModifiers::SHIFT, Some(Key::Char('G')));
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Interrupt));
        check(KeyCode::Char('q'), KeyModifiers::CONTROL, None);
        check(KeyCode::Char('q'), KeyModifiers::ALT, None);
        check(KeyCode::PageDown, KeyModifiers::NONE, Some(Key::PageDown));
        check(KeyCode::F(1), KeyModifiers::NONE, None);
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(key(released), None);
    }
}
