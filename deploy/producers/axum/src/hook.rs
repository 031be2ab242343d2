//! What a panic says of itself: taken by a panic hook, and only where [`catch`] waits for it.
//!
//! A payload that `catch_unwind` gives has no place and no frames; the hook has both, and runs on the thread that
//! panics, before it unwinds. So the hook leaves a report in a thread-local, and `catch`, which is on the stack of the
//! same thread, takes it.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// Reports kept of one call: a destructor can panic and catch in a loop while the first panic unwinds.
const REPORTS_MAX: usize = 16;

/// Frames looked at for the first one of the application: those before it are the panic machinery's.
const MACHINERY_FRAMES_MAX: usize = 24;

/// What std prints for a payload that is no text.
const OPAQUE: &str = "Box<dyn Any>";

/// Modules that lie between the panic and the hook.
const MACHINERY: [&str; 5] =
    ["core::panicking::", "std::panicking::", "std::panic::", "__rustc::rust_begin_unwind", "rust_begin_unwind"];

/// Modules of this crate that call the application: frames further out are the server's.
const OURS: [&str; 2] =
    [concat!(env!("CARGO_CRATE_NAME"), "::hook::catch"), concat!(env!("CARGO_CRATE_NAME"), "::layer::")];

thread_local! {
    /// What panicked on this thread within the innermost [`catch`]; `None` outside of any.
    static REPORTS: RefCell<Option<Vec<Report>>> = const { RefCell::new(None) };
    /// How many frames that `catch` wants.
    static FRAMES_MAX: Cell<usize> = const { Cell::new(0) };
}

/// A panic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) message: String,
    /// File, line and column.
    pub(crate) place: Option<(String, u32, u32)>,
    pub(crate) thread: Option<String>,
    /// Names of functions, innermost first, from the application's first to its last.
    pub(crate) frames: Vec<String>,
}

/// Installs the hook, once a process, however often it is called. The hook that was there before runs first, so what it
/// prints or sends stays as it is; install this one last. One that is set later without calling this one silences it:
/// events then have a message, and neither place nor frames.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            previous(info);
            record(info);
        }));
    });
}

/// Never panics and never waits: whatever is in the way costs the report, not the process.
fn record(info: &PanicHookInfo<'_>) {
    // During the end of a thread there is no thread-local; while it is borrowed we are the ones who panicked.
    let is_wanted = REPORTS.try_with(|reports| reports.try_borrow().is_ok_and(|reports| reports.is_some()));
    if !is_wanted.unwrap_or(false) {
        return;
    }
    let report = Report {
        message: text(info.payload()).to_owned(),
        place: info.location().map(|at| (at.file().to_owned(), at.line(), at.column())),
        thread: std::thread::current().name().map(str::to_owned),
        frames: frames(FRAMES_MAX.get()),
    };
    REPORTS.with(|reports| {
        if let Ok(mut reports) = reports.try_borrow_mut()
            && let Some(reports) = reports.as_mut()
            && reports.len() < REPORTS_MAX
        {
            reports.push(report);
        }
    });
}

/// Runs `work`; if it panics, what the panic said. `catch`es may be nested: each sees its own panics.
///
/// Of several panics (one that was caught within, one in a destructor while the first unwinds) the one whose payload
/// came out is reported. A payload that was carried here from elsewhere (`resume_unwind`) has a message only.
pub(crate) fn catch<T>(frames_max: usize, work: impl FnOnce() -> T) -> Result<T, (Report, Box<dyn Any + Send>)> {
    let outer = (REPORTS.replace(Some(Vec::new())), FRAMES_MAX.replace(frames_max));
    // Whatever `work` left half done dies with it: the caller drops it after a panic.
    let result = catch_unwind(AssertUnwindSafe(work));
    FRAMES_MAX.set(outer.1);
    let reports = REPORTS.replace(outer.0).unwrap_or_default();
    result.map_err(|payload| {
        let message = text(&*payload);
        let seen = reports.into_iter().rev().find(|report| report.message == message);
        let report = seen.unwrap_or_else(|| Report { message: message.to_owned(), ..Report::default() });
        (report, payload)
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or(OPAQUE)
}

/// The application's frames of the stack that panics. Names come from the symbols of the program, so a stripped one has
/// none. The first call in a process reads them: 0.2 s on a busy machine; later ones take half a millisecond.
fn frames(frames_max: usize) -> Vec<String> {
    if frames_max == 0 {
        return Vec::new();
    }
    application(&Backtrace::force_capture().to_string(), frames_max)
}

/// Of std's print of a backtrace, the names between the panic machinery and this crate's `catch`.
fn application(print: &str, frames_max: usize) -> Vec<String> {
    // `   7: shop::orders::create`, and lines `at FILE:L:C` between them.
    let name = |line: &str| {
        let (number, name) = line.trim_start().split_once(": ")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.to_owned())
    };
    let names: Vec<String> = print.lines().filter_map(name).collect();
    let is_ours = |name: &String| OURS.iter().any(|module| name.contains(module));
    // `std::panicking::catch_unwind::do_call` belongs to a catch further out.
    let is_machinery = |name: &String| {
        MACHINERY.iter().any(|module| name.contains(module))
            && !name.contains("catch_unwind")
            && !name.contains("::try")
    };
    let inner = names.iter().take(MACHINERY_FRAMES_MAX).rposition(is_machinery).map_or(0, |at| at + 1);
    names.into_iter().skip(inner).take_while(|name| !is_ours(name)).take(frames_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_between_the_machinery_and_the_catch() {
        let print = "   0: panic_events::hook::frames\n             at ./src/hook.rs:1:1\n\
                     1: std::panicking::panic_with_hook\n   2: __rustc::rust_begin_unwind\n\
                     3: core::panicking::panic_bounds_check\n   4: shop::orders::create\n             at ./x.rs:1:2\n\
                     5: shop::dispatch\n   6: panic_events::layer::{{closure}}\n\
                     7: std::panicking::catch_unwind::do_call\n   8: panic_events::hook::catch\n   9: tokio::run\n";
        assert_eq!(application(print, 64), ["shop::orders::create", "shop::dispatch"]);
        assert_eq!(application(print, 1), ["shop::orders::create"]);
        assert_eq!(application("", 64), <[&str; 0]>::default());
    }

    #[test]
    fn a_panic_without_a_catch_leaves_nothing_behind() {
        install();
        assert!(std::thread::spawn(|| panic!("alone")).join().is_err());
        REPORTS.with_borrow(|reports| assert!(reports.is_none()));
    }

    #[test]
    fn each_catch_sees_its_own_panics() {
        install();
        let outer = catch(0, || {
            let (inner, _) = catch(0, || panic!("inner")).unwrap_err();
            assert_eq!(inner.message, "inner");
            panic!("outer {}", 1)
        });
        let (outer, _) = outer.map(|never: ()| never).unwrap_err();
        assert_eq!(outer.message, "outer 1");
        assert!(outer.place.unwrap().0.ends_with("hook.rs"));
        assert!(catch(0, || 1).is_ok());
        REPORTS.with_borrow(|reports| assert!(reports.is_none()));
    }

    /// Panics and catches while another panic unwinds.
    struct Clumsy;

    impl Drop for Clumsy {
        fn drop(&mut self) {
            assert!(std::panic::catch_unwind(|| panic!("while unwinding")).is_err());
        }
    }

    #[test]
    fn of_nested_panics_the_one_that_came_out_is_reported() {
        install();
        let (report, _) = catch(0, || {
            assert!(std::panic::catch_unwind(|| panic!("caught within")).is_err());
            let _clumsy = Clumsy;
            panic!("came out");
        })
        .map(|never: ()| never)
        .unwrap_err();
        assert_eq!(report.message, "came out");
        assert_eq!(report.place.map(|(_, line, _)| line > 0), Some(true));
    }

    #[test]
    fn a_payload_from_elsewhere_has_a_message_and_one_without_text_has_stds_word_for_it() {
        install();
        let (carried, _) = catch::<()>(0, || std::panic::resume_unwind(Box::new("from elsewhere"))).unwrap_err();
        assert_eq!(carried, Report { message: "from elsewhere".to_owned(), ..Report::default() });
        let (opaque, _) = catch::<()>(0, || std::panic::panic_any(42)).unwrap_err();
        assert_eq!(opaque.message, OPAQUE);
        assert!(opaque.place.is_some());
    }

    #[test]
    fn a_loop_of_panics_within_one_call_is_bounded() {
        install();
        let kept = catch(0, || {
            for _ in 0..100 {
                assert!(std::panic::catch_unwind(|| panic!("again")).is_err());
            }
            REPORTS.with_borrow(|reports| reports.as_ref().unwrap().len())
        });
        assert_eq!(kept.unwrap(), REPORTS_MAX);
    }
}
