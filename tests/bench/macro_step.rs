//! The macro step: rows into clusters, at the cap of 8,192 cells and on what an attacker would send.
//!
//! `cargo bench --bench macro_step`; on a busy machine read the column `fastest`. `components` is the clustering by
//! itself; `hands` is the joining of all suspects, which an epoch with a changed one does; `close_epoch` is all that the end
//! of an epoch does when every cell of a tenant is new.

fn main() {
    divan::main();
}

#[cfg(test)]
mod fixture;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod macro_step {
    use divan::Bencher;
    use panicsift::pipeline::cluster::hands::{Span, Suspect, Visit, hands};
    use panicsift::pipeline::cluster::{ClusteringModel, Row, components};
    use panicsift::pipeline::event::{Id, Millis, Position, RawRecord, ShapeId};
    use panicsift::pipeline::fingerprint::Sketch;
    use panicsift::pipeline::observation::{Actor, CellKey, Observation};
    use panicsift::pipeline::sample::mix;
    use panicsift::pipeline::tenant::Tenant;
    use panicsift::pipeline::{Memos, Step, examine};

    use super::fixture;

    /// A row of a block with a sketch of its own.
    fn row(number: u64, n_blocks: u64) -> Row {
        let block = number % n_blocks;
        let mut sketch = [0_u8; 64];
        for (slot, word) in sketch.chunks_exact_mut(8).zip(0_u64..) {
            slot.copy_from_slice(&mix(number * 8 + word).to_le_bytes());
        }
        let id = |n: u64| Id(mix(n) >> 1);
        let shape = ShapeId(u128::from(mix(number)));
        let key = CellKey { tenant: id(1), service: id(2), site: id(1_000 + block), route: id(2_000 + block), shape };
        Row { key, sketch: Sketch(sketch) }
    }

    fn clustered(bencher: Bencher<'_, '_>, rows: impl Iterator<Item = Row>) {
        let (model, rows): (_, Vec<Row>) = (ClusteringModel::builtin().unwrap(), rows.collect());
        bencher.bench_local(|| components(&model, &rows).unwrap());
    }

    #[divan::bench]
    fn components_of_8192_shapes_over_128_blocks(bencher: Bencher<'_, '_>) {
        clustered(bencher, (0..8_192).map(|n| row(n, 128)));
    }

    #[divan::bench]
    fn components_of_8192_shapes_over_4096_blocks(bencher: Bencher<'_, '_>) {
        clustered(bencher, (0..8_192).map(|n| row(n, 4_096)));
    }

    /// As many suspects as are remembered, in networks of their own, each with `n_visits` visits out of `n_places` places
    /// on 40 routes, with one of `n_programs` programs.
    fn joined(bencher: Bencher<'_, '_>, n_visits: u64, n_places: u64, n_programs: u64) {
        let rules = ClusteringModel::builtin().unwrap().hands;
        let span = Span { first: Millis(0), last: Millis(600_000) };
        let suspect = |n: u64| {
            let visit = |i: u64| {
                let place = mix(n * 64 + i) % n_places;
                Visit { site: Id(mix(place)), route: Id(place % 40), program: Id(n % n_programs), span }
            };
            Suspect {
                actor: Actor::Prefix(Id(n)),
                events: n_visits,
                span,
                token: None,
                addresses: vec![Id(1_000_000 + n)],
                networks: vec![Id(2_000_000 + n)],
                visits: (0..n_visits).map(visit).collect(),
            }
        };
        let suspects: Vec<Suspect> = (0..4_096).map(suspect).collect();
        bencher.bench_local(|| hands(&rules, &suspects));
    }

    /// A botnet: one program, two requests a node.
    #[divan::bench(sample_count = 20)]
    fn hands_of_4096_nodes_of_one_botnet(bencher: Bencher<'_, '_>) {
        joined(bencher, 2, 200, 1);
    }

    /// The dearest that was found: nobody is like another, and everybody is thin and looks for company at all routes.
    #[divan::bench(sample_count = 20)]
    fn hands_of_4096_suspects_with_32_places_that_nobody_shares(bencher: Bencher<'_, '_>) {
        joined(bencher, 32, 1 << 40, 1);
    }

    /// The same, too busy to look for company, with as many visits as are remembered.
    #[divan::bench(sample_count = 20)]
    fn hands_of_4096_suspects_with_64_of_2000_places(bencher: Bencher<'_, '_>) {
        joined(bencher, 64, 2_000, 1);
    }

    /// One source sends 8,192 shapes over 128 sites and routes within an epoch.
    #[divan::bench(sample_count = 20)]
    fn close_epoch_of_8192_new_cells(bencher: Bencher<'_, '_>) {
        let (context, lines) = (fixture::context(), fixture::lines());
        let position = Position { topic: "events", partition: 0, offset: 0 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: &lines[0] };
        let seen = examine(&context, &mut Memos::default(), record).into_observation().unwrap();
        let flooded = || {
            let mut tenant = Tenant::new(context.clustering.cell_limits());
            for number in 0..8_192 {
                let Row { key, sketch, .. } = row(number, 128);
                let (event, actor) = (Id(mix(number)), Actor::Prefix(Id(7)));
                tenant.observe(&Observation { event, actor, cell: key, sketch, ..seen.clone() });
            }
            tenant
        };
        bencher.with_inputs(flooded).bench_local_refs(|tenant| {
            let mut step = Step::default();
            tenant.close(&context, Millis(seen.time.0 + 5_000), &mut step);
            step
        });
    }
}
