//! The sift path on one core: what an event of 1.2 kB costs from its bytes to its cell and its sender's record.
//!
//! `cargo bench --bench sift`; on a busy machine read the column `fastest`. `to_cell` is decode → cell, `whole` is
//! everything that an event costs but the closing of epochs (see `macro_step`): both on memos, cells and records that
//! know the kinds of events, as they do after the first minutes of a service; `first_sight` begins with nothing. The
//! benchmarks below them are the parts of `whole`.
//!
//! Memory is watched from outside: `replay` over a million events with ids of their own, its resident MiB once a second.
//!
//! ```sh
//! zcat tests/data/demo/events.jsonl.gz | awk '{ sub(/^{"event_id":"[^"]*/, ""); rest[NR] = $0 }
//!   END { while (n < 1e6) for (i = 1; i <= NR; i++) print "{\"event_id\":\"" n++ rest[i] }' |
//!   target/release/panicsift replay - >/dev/null & pid=$!
//! while kill -0 $pid 2>/dev/null; do awk '/VmRSS/ { print int($2 / 1024) }' /proc/$pid/status; sleep 1; done
//! ```

fn main() {
    divan::main();
}

#[cfg(test)]
mod fixture;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod sift {
    use std::hint::black_box;
    use std::sync::LazyLock;

    use divan::Bencher;
    use divan::counter::ItemsCount;
    use panicsift::pipeline::cells::Cells;
    use panicsift::pipeline::event::{Batch, Id, PanicEvent, Position};
    use panicsift::pipeline::fingerprint::{ShapeMemo, fingerprint};
    use panicsift::pipeline::judge::Record;
    use panicsift::pipeline::memo::Memo;
    use panicsift::pipeline::observation::Observation;
    use panicsift::pipeline::recent::Recent;
    use panicsift::pipeline::sample::mix;
    use panicsift::pipeline::tenant::Tenant;
    use panicsift::pipeline::{Context, Memos, classify, decode, enrich, examine};

    use super::fixture;

    static BATCH: LazyLock<Batch> = LazyLock::new(|| {
        let mut batch = Batch::default();
        for (offset, line) in (0..).zip(fixture::lines()) {
            batch.push(Position { topic: "events", partition: 0, offset }, None, &line);
        }
        batch
    });
    static CONTEXT: LazyLock<Context> = LazyLock::new(fixture::context);
    static FEED: LazyLock<decode::Feed> = LazyLock::new(decode::Feed::default);
    static EVENTS: LazyLock<Vec<PanicEvent<'static>>> =
        LazyLock::new(|| BATCH.iter().map(|record| decode::decode(&FEED, record).into_event().unwrap()).collect());
    static SEEN: LazyLock<Vec<Observation<'static>>> = LazyLock::new(|| {
        let mut memos = Memos::default();
        BATCH.iter().map(|record| examine(&CONTEXT, &mut memos, record).into_observation().unwrap()).collect()
    });

    /// Measures rounds over all events, after one that nobody measures.
    fn rounds(bencher: Bencher<'_, '_>, mut round: impl FnMut()) {
        round();
        bencher.counter(ItemsCount::new(BATCH.len())).bench_local(round);
    }

    /// One worker with all that it remembers.
    struct Worker {
        memos: Memos,
        recent: Recent,
        tenant: Tenant,
        n_seen: u64,
    }

    impl Worker {
        fn new() -> Self {
            let tenant = Tenant::new(CONTEXT.clustering.cell_limits());
            Self { memos: Memos::default(), recent: Recent::default(), tenant, n_seen: 0 }
        }

        fn round(&mut self) {
            for record in BATCH.iter() {
                let mut seen = examine(&CONTEXT, &mut self.memos, record).into_observation().unwrap();
                // No event comes twice.
                self.n_seen += 1;
                seen.event = Id(mix(self.n_seen));
                self.recent.insert(seen.event);
                self.tenant.observe(&seen);
            }
        }
    }

    #[divan::bench]
    fn a_whole(bencher: Bencher<'_, '_>) {
        let mut worker = Worker::new();
        rounds(bencher, || worker.round());
    }

    #[divan::bench]
    fn a_first_sight(bencher: Bencher<'_, '_>) {
        bencher.counter(ItemsCount::new(BATCH.len())).with_inputs(Worker::new).bench_local_refs(Worker::round);
    }

    #[divan::bench]
    fn a_to_cell(bencher: Bencher<'_, '_>) {
        let (mut memos, mut cells) = (Memos::default(), Cells::new(CONTEXT.clustering.cell_limits()));
        rounds(bencher, || {
            for record in BATCH.iter() {
                cells.add(&examine(&CONTEXT, &mut memos, record).into_observation().unwrap());
            }
        });
    }

    #[divan::bench]
    fn b_examine(bencher: Bencher<'_, '_>) {
        let mut memos = Memos::default();
        rounds(bencher, || BATCH.iter().for_each(|record| drop(black_box(examine(&CONTEXT, &mut memos, record)))));
    }

    #[divan::bench]
    fn b_examine_decode(bencher: Bencher<'_, '_>) {
        rounds(bencher, || BATCH.iter().for_each(|record| drop(black_box(decode::decode(&FEED, record)))));
    }

    #[divan::bench]
    fn b_examine_classify(bencher: Bencher<'_, '_>) {
        let mut memo = Memo::new(4_096);
        rounds(bencher, || {
            for event in EVENTS.iter() {
                black_box(classify::classify_memoised(&CONTEXT.panics, &mut memo, &event.panic.message));
            }
        });
    }

    #[divan::bench]
    fn b_examine_enrich(bencher: Bencher<'_, '_>) {
        let (mut sources, mut scopes) = (Memo::new(65_536), Memo::new(4_096));
        rounds(bencher, || {
            for event in EVENTS.iter() {
                black_box(enrich::source(&CONTEXT.keys, &mut sources, &*CONTEXT.lookup, event.client.ip));
                if let Some(token) = &event.token {
                    black_box(enrich::token(&CONTEXT.keys, &CONTEXT.scopes, &mut scopes, token));
                }
            }
        });
    }

    #[divan::bench]
    fn b_examine_fingerprint(bencher: Bencher<'_, '_>) {
        let mut memo = ShapeMemo::default();
        rounds(bencher, || {
            EVENTS.iter().for_each(|event| drop(black_box(fingerprint(&CONTEXT.keys, &mut memo, event))));
        });
    }

    #[divan::bench]
    fn c_tenant(bencher: Bencher<'_, '_>) {
        let mut tenant = Tenant::new(CONTEXT.clustering.cell_limits());
        rounds(bencher, || SEEN.iter().for_each(|seen| tenant.observe(seen)));
    }

    #[divan::bench]
    fn c_tenant_cell(bencher: Bencher<'_, '_>) {
        let mut cells = Cells::new(CONTEXT.clustering.cell_limits());
        rounds(bencher, || SEEN.iter().for_each(|seen| _ = black_box(cells.add(seen))));
    }

    #[divan::bench]
    fn c_tenant_record(bencher: Bencher<'_, '_>) {
        let mut record = Record::default();
        rounds(bencher, || SEEN.iter().for_each(|seen| record.observe(seen)));
    }
}
