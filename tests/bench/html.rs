//! `report html` over a store with all the cells that it may have: what each step costs until the page is there.
//!
//! `cargo bench --bench html`; on a busy machine read the column `fastest`. `until_the_overview` ends when the first
//! section has left, `whole_page` with the last byte; `restore` is the part of both that reads the store.

fn main() {
    divan::main();
}

#[cfg(test)]
#[expect(dead_code, reason = "the benchmark needs the context alone")]
mod fixture;
/// The stores of the tests.
#[cfg(test)]
#[path = "../support/pages.rs"]
#[expect(dead_code, reason = "the benchmark needs one of the stores")]
mod pages;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod html {
    use std::io::{self, Write};
    use std::path::PathBuf;
    use std::sync::LazyLock;

    use divan::Bencher;
    use panicsift::edge::store::Store;
    use panicsift::pipeline::cluster::ClusteringModel;
    use panicsift::pipeline::state::State;
    use panicsift::report;
    use tempfile::TempDir;

    use super::{fixture, pages};

    static STORE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.db");
        pages::large_store(&fixture::context(), &path, |kind, n| format!("{kind} {n} of /v1/orders/{{id}}/items"));
        (dir, path)
    });

    /// Takes a page and ends it when it is flushed for the first time.
    struct First;

    impl Write for First {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("the overview is there"))
        }
    }

    #[divan::bench(sample_count = 20)]
    fn restore(bencher: Bencher<'_, '_>) {
        let store = Store::open_read_only(&STORE.1).unwrap();
        let model = ClusteringModel::builtin().unwrap();
        bencher.bench_local(|| State::restore(&model, |kind| store.load_state(kind)).unwrap().0.size());
    }

    #[divan::bench(sample_count = 20)]
    fn until_the_overview(bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| report::html::answer(&STORE.1, 500, &mut First).unwrap_err());
    }

    #[divan::bench(sample_count = 20)]
    fn whole_page(bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| report::html::answer(&STORE.1, 500, &mut io::sink()).unwrap());
    }
}
