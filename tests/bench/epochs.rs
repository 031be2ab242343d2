//! An epoch under attack: 8,192 cells, 4,096 senders who are all suspects, and every one of them sends in every epoch.
//!
//! `cargo bench --bench epochs`. Prints, by how many cells each sender has been to: what [`Record::observe`], which is
//! judging, and [`Tenant::observe`], which is everything, take an event; what the first closing takes (everything is
//! new); and of [`EPOCHS`] more closings, in which every sender sends two events, the median of what the judge takes, and
//! the median, the 99th percentile and the slowest of the whole: judging, clustering, joining suspects, the life of
//! alerts. What is stored of it is not in it. The thresholds are lowered until everybody is a suspect and every cluster
//! hostile. On Linux times are those of the processor, so that a busy machine says the same as an idle one.

fn main() {
    #[cfg(test)]
    epochs::run();
}

#[cfg(test)]
mod fixture;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod epochs {
    use std::time::{Duration, Instant};

    use panicsift::pipeline::event::{Id, Millis, Position, RawRecord, ShapeId};
    use panicsift::pipeline::fingerprint::Sketch;
    use panicsift::pipeline::judge::Record;
    use panicsift::pipeline::observation::{Actor, CellKey, Observation};
    use panicsift::pipeline::sample::mix;
    use panicsift::pipeline::tenant::Tenant;
    use panicsift::pipeline::{Context, Memos, Step, examine};

    use super::fixture;

    /// As many as are remembered.
    const CELLS: u64 = 8_192;
    /// Sites with a route each; as many shapes stand for themselves at each as may.
    const BLOCKS: u64 = 128;
    /// As many as are remembered.
    const SENDERS: u64 = 4_096;
    /// Client programs.
    const PROGRAMS: u64 = 16;
    /// Closings after the first.
    const EPOCHS: usize = 150;
    /// Points, in hundredths, that everybody has.
    const EVERYBODY: i32 = -1_000_000;

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn now() -> Instant {
        Instant::now()
    }

    /// Time that this process, which has one thread, had a processor for.
    fn on_processor() -> Option<Duration> {
        // The count is brought up to date when the thread gives way.
        std::thread::yield_now();
        let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    /// What it takes.
    fn took(work: impl FnOnce()) -> Duration {
        let (start, processor) = (now(), on_processor());
        work();
        processor.and_then(|before| on_processor()?.checked_sub(before)).unwrap_or_else(|| start.elapsed())
    }

    /// What an epoch took: events by the judge and by all, closing by the judge and by all.
    struct Took {
        judged: Duration,
        observed: Duration,
        judge_closed: Duration,
        closed: Duration,
    }

    struct Attack<'a> {
        context: &'a Context,
        like: &'a Observation<'a>,
        /// Cells that each sender goes to in turn.
        n_cells: u64,
        tenant: Tenant,
        /// What the tenant's judge remembers, once more and by itself.
        record: Record,
        n_events: u64,
        time: Millis,
    }

    impl Attack<'_> {
        /// The next event of a sender: another content, and the next of its cells.
        fn event(&mut self, sender: u64, turn: u64) -> Observation<'static> {
            self.n_events += 1;
            let at = turn % self.n_cells;
            // The first two of each sender make all cells; the others are anywhere.
            let number = if at < 2 { 2 * sender + at } else { mix(64 * sender + at) % CELLS };
            let (block, id) = (number % BLOCKS, |n: u64| Id(mix(n) >> 1));
            let mut sketch = Sketch([0; 64]);
            for (slot, word) in sketch.0.chunks_exact_mut(8).zip(0_u64..) {
                slot.copy_from_slice(&mix(8 * number + word).to_le_bytes());
            }
            let shape = ShapeId(u128::from(mix(number)));
            let cell = CellKey { site: id(1_000 + block), route: id(2_000 + block), shape, ..self.like.cell };
            let address = id(10_000 + sender);
            let mut o = Observation { cell, sketch, time: self.time, ..self.like.clone() };
            (o.event, o.content) = (id(1 << 32 | self.n_events), id(2 << 32 | self.n_events));
            (o.actor, o.source.prefix_id, o.source.address_id) = (Actor::Prefix(address), Some(address), Some(address));
            o.source.network.asn = u32::try_from(sender % 512).ok();
            (o.token, o.agent_family, o.idempotency) = (None, Some(id(sender % PROGRAMS)), None);
            own(o)
        }

        /// Everybody sends in these turns, then the epoch is closed.
        fn epoch(&mut self, turns: std::ops::Range<u64>) -> Took {
            let senders = turns.flat_map(|turn| (0..SENDERS).map(move |sender| (sender, turn)));
            let events: Vec<_> = senders.map(|(sender, turn)| self.event(sender, turn)).collect();
            let n_events = u32::try_from(events.len()).unwrap();
            let judged = took(|| events.iter().for_each(|event| self.record.observe(event))) / n_events;
            let observed = took(|| events.iter().for_each(|event| self.tenant.observe(event))) / n_events;
            self.time = self.time.plus(i64::from(self.context.clustering.epoch_secs) * Millis::SECOND);
            let (context, now, mut step) = (self.context, self.time, Step::default());
            let judge_closed = took(|| drop(self.record.close_epoch(&context.hostility, now)));
            let closed = took(|| self.tenant.close(context, now, &mut step));
            assert_eq!(step.fallbacks, 0);
            Took { judged, observed, judge_closed, closed }
        }
    }

    /// The same, owning its words.
    fn own(o: Observation<'_>) -> Observation<'static> {
        let owned = |text: std::borrow::Cow<'_, str>| std::borrow::Cow::Owned(text.into_owned());
        Observation {
            position: Position { topic: "events", partition: 0, offset: 0 },
            event_id: owned(o.event_id),
            tenant: owned(o.tenant),
            service: owned(o.service),
            route: owned(o.route),
            release: o.release.map(owned),
            agent_name: owned(o.agent_name),
            aftermath: panicsift::pipeline::observation::Aftermath {
                boundary: o.aftermath.boundary.map(owned),
                region: o.aftermath.region.map(owned),
                ..o.aftermath
            },
            ..o
        }
    }

    fn median(of: impl Iterator<Item = Duration>) -> f64 {
        let mut all: Vec<Duration> = of.collect();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64() * 1e3
    }

    fn measure(context: &Context, like: &Observation<'_>, n_cells: u64) {
        let (tenant, record) = (Tenant::new(context.clustering.cell_limits()), Record::default());
        let mut attack = Attack { context, like, n_cells, tenant, record, n_events: 0, time: like.time };
        let first = attack.epoch(0..n_cells.max(2));
        let epochs: Vec<Took> = (0..EPOCHS as u64).map(|epoch| attack.epoch(2 * epoch..2 * epoch + 2)).collect();
        let clusters = || attack.tenant.clusters().map(|(cluster, _)| cluster.suspects().len());
        let (n_suspects, n_hands) = (clusters().sum::<usize>(), clusters().filter(|n| *n > 0).count());
        let mut closed: Vec<Duration> = epochs.iter().map(|took| took.closed).collect();
        closed.sort_unstable();
        let [p99, slowest] = [EPOCHS * 99 / 100, EPOCHS - 1].map(|at| closed[at].as_secs_f64() * 1e3);
        println!(
            "{n_cells:>5} {n_suspects:>9} {n_hands:>6} {:>9.0} {:>9.0} {:>8.1} {:>8.1} {:>8.1} {p99:>8.1} {slowest:>8.1}",
            median(epochs.iter().map(|took| took.judged)) * 1e6,
            median(epochs.iter().map(|took| took.observed)) * 1e6,
            first.closed.as_secs_f64() * 1e3,
            median(epochs.iter().map(|took| took.judge_closed)),
            median(closed.iter().copied()),
        );
    }

    pub(super) fn run() {
        let mut context = fixture::context();
        context.hostility = context.hostility.at(EVERYBODY, EVERYBODY, EVERYBODY);
        let lines = fixture::lines();
        let position = Position { topic: "events", partition: 0, offset: 0 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: &lines[0] };
        let like = examine(&context, &mut Memos::default(), record).into_observation().unwrap();
        println!("cells  suspects  hands  an event, ns        first  closing an epoch, ms");
        println!(" each                      judge   whole      closing    judge   median      p99  slowest");
        for n_cells in [2, 8, 32] {
            measure(&context, &like, n_cells);
        }
    }
}
