//! What one tenant holds in memory: honest traffic first, then attackers who know what is counted.
//!
//! `cargo bench --bench memory`, on Linux. Events go all the way from bytes to state, in batches as a service reads them
//! (what a batch would store is dropped). Printed is the resident memory of the process (`VmRSS`) over what it was before
//! the first event, when models and address tables were read already; by its side what the tenant then remembers. The
//! worker's own memos are in it, and are said apart at the end: they are one a process, not one a tenant.
//!
//! * `honest`: the demo's events over and over, with ids of their own.
//! * `all new`: address, token, client program, route, shape, field names, panic message and idempotency key are new with
//!   every event.
//! * `all full`: few enough routes and shapes to have a cell each, few enough senders to be remembered each, and
//!   everything that is counted in these as various as can be.
//!
//! `burst` comes within one epoch of event time, the others at [`EVENTS_PER_SECOND`].

fn main() {
    #[cfg(test)]
    memory::run();
}

#[cfg(test)]
mod fixture;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod memory {
    use std::fmt::Write;
    use std::time::Instant;

    use panicsift::pipeline::event::{Millis, Position, RawRecord};
    use panicsift::pipeline::observation::Heard;
    use panicsift::pipeline::sample::mix;
    use panicsift::pipeline::sift::Sift;
    use panicsift::pipeline::state::State;
    use panicsift::pipeline::{Context, fold};

    use super::fixture;

    /// Records a batch, as the service reads them.
    const BATCH: u64 = 500;
    /// Of event time.
    const EVENTS_PER_SECOND: u64 = 1_000;
    /// When it begins: after the demo.
    const BEGIN: Millis = Millis(1_789_372_800_000);

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn now() -> Instant {
        Instant::now()
    }

    /// Resident memory of this process.
    fn resident_mib() -> f64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    }

    struct Run {
        context: Context,
        lines: Vec<Vec<u8>>,
        sift: Sift,
        state: State,
        n_events: u64,
        millis: u64,
        before_mib: f64,
    }

    impl Run {
        fn new() -> Self {
            let (context, lines) = (fixture::context(), fixture::lines());
            let state = State::new(&context.clustering);
            let before_mib = resident_mib();
            Self { context, lines, sift: Sift::default(), state, n_events: 0, millis: 0, before_mib }
        }

        /// Feeds `n_events`, `per_second` of event time; prints memory ten times.
        fn feed(&mut self, name: &str, n_events: u64, per_second: u64, event: fn(&Self, u64, &mut String)) {
            let start = now();
            for first in (0..n_events).step_by(usize::try_from(BATCH).unwrap()) {
                let texts: Vec<String> = (first..first + BATCH)
                    .map(|number| {
                        self.n_events += 1;
                        let at = BEGIN.plus(i64::try_from(self.millis + number * 1_000 / per_second).unwrap());
                        let mut text = format!(r#"{{"event_id":"e-{}","ts":"{at}","#, self.n_events);
                        event(self, number, &mut text);
                        text
                    })
                    .collect();
                let mut heard = Heard::default();
                for text in &texts {
                    let position = Position { topic: "events", partition: 0, offset: 0 };
                    let record = RawRecord { position, broker_time: None, headers: &[], payload: text.as_bytes() };
                    self.sift.take(&self.context, record, &mut heard);
                }
                assert_eq!(heard.panics.len(), texts.len());
                fold(&self.context, &mut self.state, heard, None);
                let n_fed = first + BATCH;
                if n_fed.is_multiple_of((n_events / 10).next_multiple_of(BATCH)) || n_fed >= n_events {
                    self.tell(name, n_fed);
                }
            }
            self.millis += n_events * 1_000 / per_second + 60_000;
            let micros = start.elapsed().as_micros() / u128::from(n_events);
            println!("{name}: {micros} us an event, with writing it");
        }

        fn tell(&self, name: &str, n_fed: u64) {
            let size = self.state.size();
            let names: usize = self.state.tenants().map(|(_, tenant)| tenant.names().len()).sum();
            let grown = resident_mib() - self.before_mib;
            println!("{name:<10} {n_fed:>9} {grown:>9.1} {:>7} {:>9} {names:>7}", size.cells, size.clusters);
        }
    }

    /// A demo event without its id and time.
    fn honest(run: &Run, number: u64, text: &mut String) {
        let line = &run.lines[usize::try_from(number).unwrap() % run.lines.len()];
        let line = std::str::from_utf8(line).unwrap();
        let (_, rest) = line.split_once(r#""service""#).unwrap();
        write!(text, r#""service"{rest}"#).unwrap();
    }

    /// What an event differs by; equal numbers, equal things.
    struct Differs {
        address: u64,
        token: u64,
        agent: u64,
        route: u64,
        /// Names of the payload's fields, and what they are.
        shape: u64,
        content: u64,
    }

    fn word(n: u64) -> String {
        let mut n = mix(n);
        (0..10)
            .map(|_| {
                let at = u32::try_from(n % 26).unwrap();
                n /= 26;
                char::from_u32(97 + at).unwrap()
            })
            .collect()
    }

    fn write_event(text: &mut String, differs: &Differs) {
        let Differs { address, token, agent, route, shape, content } = differs;
        let octets = mix(*address).to_be_bytes();
        let ip = format!(
            "2a0{:x}:{:x}{:02x}:{:02x}{:02x}::{:x}",
            octets[0] % 8,
            octets[1],
            octets[2],
            octets[3],
            octets[4],
            1 + content % 65_535
        );
        let mut fields = String::new();
        for field in 0..24 {
            let (name, value) = (word(shape * 32 + field), word(content * 32 + field));
            match mix(shape * 32 + field) % 4 {
                0 => write!(fields, r#""{name}":"{value}","#),
                1 => write!(fields, r#""{name}":{},"#, mix(content * 32 + field) % 100_000),
                2 => write!(fields, r#""{name}":{{"{value}":[1,"{value}"]}},"#),
                _ => write!(fields, r#""{name}":[null,"{value}"],"#),
            }
            .unwrap();
        }
        let payload = serde_json::Value::from(format!("{{{}}}", fields.trim_end_matches(',')));
        write!(
            text,
            r#""service":"shop","release":"1.0","method":"POST","path":"/{}","status":500,"handled":true,"panic":{{"message":"no such thing: {} in `{}`","file":"src/shop.rs","line":8,"backtrace":["shop::orders::total"]}},"client":{{"ip":"{ip}","user_agent":"{}/1"}},"token":{{"id_hash":"{}","scope":"s{}:write","valid":{}}},"request":{{"content_type":"application/json","payload":{payload},"payload_encoding":"utf8","payload_truncated":false,"idempotency_key":"k{content}","attempt":1}},"latency_ms":{},"isolate":{{"id":"i{}"}},"retry":{{"outcome":"not_retried"}}}}"#,
            word(*route),
            word(content + 7),
            word(content + 8),
            word(*agent),
            word(*token),
            word(*token),
            token % 2 == 0,
            mix(*content) % 60_000,
            content % 8,
        )
        .unwrap();
    }

    fn all_new(_: &Run, number: u64, text: &mut String) {
        let n = 1_000_000_000 + number;
        write_event(text, &Differs { address: n, token: n, agent: n, route: n, shape: n, content: n });
    }

    /// 128 routes with 64 shapes each, 4,096 senders.
    fn all_full(_: &Run, number: u64, text: &mut String) {
        let (n, sender) = (2_000_000_000 + number, mix(number) % 4_096);
        let shape = mix(number / 3) % 8_192;
        write_event(
            text,
            &Differs {
                address: sender,
                token: 2 * (number % 50_000) + 1,
                agent: number % 1_000,
                route: 5_000_000_000 + shape % 128,
                shape: 6_000_000_000 + shape,
                content: n,
            },
        );
    }

    /// How an event is written.
    type Event = fn(&Run, u64, &mut String);

    /// Name, events, events a second of event time, how they are written.
    const PARTS: [(&str, u64, u64, Event); 4] = [
        ("honest", 200_000, EVENTS_PER_SECOND, honest),
        ("all new", 500_000, EVENTS_PER_SECOND, all_new),
        ("burst", 100_000, 1_000_000_000, all_new),
        ("all full", 800_000, EVENTS_PER_SECOND, all_full),
    ];

    pub(super) fn run() {
        // Cargo itself says `--bench`; any other word chooses parts.
        let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let mut run = Run::new();
        println!("before the first event: {:.1} MiB resident", run.before_mib);
        println!("                events   MiB more   cells  clusters   names");
        for (name, n_events, per_second, event) in PARTS {
            if chosen.is_empty() || chosen.iter().any(|word| word == name) {
                run.feed(name, n_events, per_second, event);
            }
        }
        let grown = resident_mib();
        run.sift.forget();
        println!("the worker's memos: {:.1} MiB of it given back", grown - resident_mib());
    }
}
