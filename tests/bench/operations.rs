//! What people on call wait for: each question to a store of 30 days with all the cells that it may have, from the start
//! of the command to its end; and what an epoch costs that looks for storms, cascades and rollbacks in such a store.
//!
//! `cargo bench --bench operations`; on a busy machine read the column `fastest`.

fn main() {
    divan::main();
}

#[cfg(test)]
mod fixture;
/// The stores of the tests.
#[cfg(test)]
#[path = "../support/pages.rs"]
#[expect(dead_code, reason = "the benchmark needs one of the stores")]
mod pages;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod operations {
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::LazyLock;

    use divan::Bencher;
    use panicsift::edge::store::Store;
    use panicsift::pipeline::event::{Id, Position, RawRecord};
    use panicsift::pipeline::state::State;
    use panicsift::pipeline::{Memos, examine, fold};
    use tempfile::TempDir;

    use super::{fixture, pages};

    static STORE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.db");
        pages::large_store(&fixture::context(), &path, |kind, n| format!("{kind} {n} of /v1/orders/{{id}}/items"));
        (dir, path)
    });

    const QUESTIONS: [&str; 9] = [
        "triage",
        "top --once",
        "report telemetry --by endpoint",
        "report telemetry --by release",
        "report releases",
        "report retry-policy",
        "report postmortem --from 2026-09-08T00:00:00Z --to 2026-09-10T00:00:00Z",
        "report kpi --baseline 2026-08-10T00:00:00Z..2026-09-01T00:00:00Z",
        "report html",
    ];

    #[divan::bench(args = QUESTIONS, sample_count = 20, sample_size = 1)]
    fn command(bencher: Bencher<'_, '_>, question: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
        command.args(question.split(' ')).arg("--store").arg(&STORE.1);
        bencher.bench_local(|| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        });
    }

    /// One event, then the next epoch: most of it is the look at all pages and settling the clusters.
    #[divan::bench(sample_count = 100, sample_size = 1)]
    fn epoch(bencher: Bencher<'_, '_>) {
        let context = fixture::context();
        let store = Store::open_read_only(&STORE.1).unwrap();
        let (mut state, _) = State::restore(&context.clustering, |kind| store.load_state(kind)).unwrap();
        let lines = fixture::lines();
        let position = Position { topic: "panic-events", partition: 0, offset: 0 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: &lines[0] };
        let mut o = examine(&context, &mut Memos::default(), record).into_observation().unwrap();
        o.time = pages::LARGE_END;
        bencher.bench_local(|| {
            o.time = o.time.plus(i64::from(context.clustering.epoch_secs) * 1_000);
            // Another event, or it would be taken for a duplicate.
            o.event = Id(o.event.0.wrapping_add(1));
            fold(&context, &mut state, vec![o.clone()], None).rows.len()
        });
    }
}
