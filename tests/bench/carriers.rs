//! How many panics a second each carrier's decoder gives on one core, over its captures in `tests/data/carriers`.
//!
//! `cargo bench --bench carriers`. A round decodes all records of a carrier and puts together what came apart (lines of
//! a log, parts of a stream); the counter is panics, so that a carrier whose panics take many records, as a log's lines
//! do, pays for them. Request logs tell of no panic: there it is logs.

fn main() {
    divan::main();
}

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod carriers {
    use std::path::{Path, PathBuf};

    use divan::counter::ItemsCount;
    use divan::{Bencher, black_box};
    use panicsift::pipeline::decode::{Feed, Piece, decode};
    use panicsift::pipeline::event::{Carrier, Millis, Position, RawRecord};
    use panicsift::pipeline::gather::{Gather, GatherPolicy};

    /// The records of the files whose names begin so; whole files, or their lines.
    fn records(begin: &str, is_whole: bool) -> Vec<Vec<u8>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/carriers");
        let folder = root.join(Path::new(begin).parent().unwrap_or(Path::new("")));
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.starts_with(root.join(begin)) || path.to_str().unwrap().contains(begin));
        paths.sort();
        let files = paths.iter().map(|path| std::fs::read(path).unwrap());
        if is_whole {
            return files.collect();
        }
        let lines = |file: Vec<u8>| file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        files.flat_map(lines).filter(|line| !line.is_empty()).collect()
    }

    fn measure(bencher: Bencher<'_, '_>, carrier: Carrier, records: &[Vec<u8>]) {
        let feed = Feed { carrier: Some(carrier), service: "bench".to_owned(), ..Feed::default() };
        let round = || {
            let mut gather = Gather::default();
            let (mut n_pieces, mut n_events) = (0, 0);
            for (offset, payload) in (0..).zip(records) {
                let position = Position { topic: "bench", partition: 0, offset };
                let broker_time = Some(Millis(1_795_400_000_000));
                let decoded = decode(&feed, RawRecord { position, broker_time, headers: &[], payload });
                assert_eq!(decoded.refusal, None);
                for piece in decoded.pieces {
                    n_pieces += 1;
                    // A whole event goes on as it is, and borrows from its record.
                    if let Piece::Event(event) = piece {
                        n_events += 1;
                        black_box(event);
                    } else {
                        gather.take(&GatherPolicy::FILES, position, piece);
                    }
                }
            }
            n_events += black_box(gather.flush()).len();
            if carrier == Carrier::CloudflareHttpRequests { n_pieces } else { n_events }
        };
        let n_events = round();
        assert!(n_events > 0);
        bencher.counter(ItemsCount::new(n_events)).bench_local(round);
    }

    #[divan::bench]
    fn cloudflare_tail(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::CloudflareTail, &records("tail_", true));
    }

    #[divan::bench]
    fn cloudflare_logpush(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::CloudflareLogpush, &records("cloudflare_logpush", false));
    }

    #[divan::bench]
    fn cloudflare_http_requests(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::CloudflareHttpRequests, &records("cloudflare_http_requests", false));
    }

    #[divan::bench]
    fn sentry_envelopes(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Sentry, &records("sentry/envelope", true));
    }

    #[divan::bench]
    fn otlp_logs_json(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Otlp, &records("otlp/logs.json", true));
    }

    #[divan::bench]
    fn otlp_logs_protobuf(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Otlp, &records("otlp/logs.pb", true));
    }

    #[divan::bench]
    fn otlp_traces_protobuf(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Otlp, &records("otlp/traces.pb", true));
    }

    #[divan::bench]
    fn text_without_backtraces(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Text, &records("text/stderr_rust-1.95.0-backtrace-0", false));
    }

    #[divan::bench]
    fn text_with_backtraces(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Text, &records("text/stderr_rust-1.95.0-backtrace-1", false));
    }

    #[divan::bench]
    fn text_tracing_panic(bencher: Bencher<'_, '_>) {
        measure(bencher, Carrier::Text, &records("text/tracing_panic", false));
    }
}
