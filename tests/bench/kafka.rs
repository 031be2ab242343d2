//! Kafka → state against a bare consumer, on the same topic in the same run.
//!
//! `cargo bench --bench kafka --no-run`, then `taskset -c 1` on the binary that it names: everything on one core, the
//! embedded broker included. A bare `BaseConsumer` polls the topic to its end and does nothing; then the source, the
//! sift path, the closing of epochs and the store (a file) take the same topic, as the loop of the service does. Both
//! three times in turn; prints medians. Counted from the first record (bare) and from the first batch on, which is not
//! counted itself (ours). The topic is the demo's six hours again and again, so each run closes 4,320 epochs.

fn main() {
    #[cfg(test)]
    kafka::run();
}

#[cfg(test)]
mod fixture;

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod kafka {
    use std::time::{Duration, Instant};

    use panicsift::edge::kafka::embedded::EmbeddedBroker;
    use panicsift::edge::kafka::source::KafkaSource;
    use panicsift::edge::store::Store;
    use panicsift::edge::{Pull, Source};
    use panicsift::pipeline::event::Checkpoint;
    use panicsift::pipeline::state::State;
    use panicsift::pipeline::{Context, Memos, examine, fold};
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

    use super::fixture;

    const TOPIC: &str = "events";
    /// The mock keeps 5 MiB a partition: 64 hold [`N_EVENTS`] of 1.2 kB.
    const N_PARTITIONS: i32 = 64;
    const N_EVENTS: usize = 200_000;
    const N_RUNS: usize = 3;

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn now() -> Instant {
        Instant::now()
    }

    fn rate(n_events: usize, time: Duration) -> f64 {
        f64::from(u32::try_from(n_events).unwrap()) / time.as_secs_f64()
    }

    /// Events a second of a loop that only polls.
    fn bare(broker: &EmbeddedBroker) -> f64 {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.brokers()).set("group.id", "bare");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut places = TopicPartitionList::new();
        for partition in 0..N_PARTITIONS {
            places.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&places).unwrap();
        let poll = || while !matches!(consumer.poll(Duration::from_secs(1)), Some(Ok(_))) {};
        poll();
        let begin = now();
        (1..N_EVENTS).for_each(|_| poll());
        rate(N_EVENTS - 1, begin.elapsed())
    }

    /// Events a second from the same topic into a store.
    async fn ours(broker: &EmbeddedBroker, context: &Context, group: &str) -> f64 {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("store.sqlite")).unwrap();
        let mut checkpoint = EmbeddedBroker::start_positions(TOPIC, N_PARTITIONS, Checkpoint::default());
        let mut source = KafkaSource::start(&broker.consumer_settings(TOPIC, group), checkpoint.clone()).unwrap();
        let (mut state, mut memos) = (State::new(&context.clustering), Memos::default());
        let (mut begin, mut n_uncounted, mut n_events) = (None, 0, 0);
        while n_events < N_EVENTS {
            let Pull::Batch(batch) = source.next().await.unwrap() else { continue };
            if begin.is_none() {
                (begin, n_uncounted) = (Some(now()), batch.len());
            }
            n_events += batch.len();
            let mut seen = Vec::with_capacity(batch.len());
            for record in batch.iter() {
                checkpoint.advance(record.position);
                seen.push(examine(context, &mut memos, record).into_observation().unwrap());
            }
            let step = fold(context, &mut state, seen, None);
            assert!(step.duplicates.is_empty());
            store.commit(&step.rows, &step.alerts, &checkpoint).unwrap();
            source.commit(&checkpoint, &checkpoint).unwrap();
        }
        let time = begin.unwrap().elapsed();
        source.close(Duration::from_secs(5)).await;
        rate(n_events - n_uncounted, time)
    }

    /// The demo's events again and again, with event ids of their own.
    fn fresh_lines(n_events: usize) -> Vec<Vec<u8>> {
        let lines: Vec<String> = fixture::lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        let fresh = |(number, line): (usize, &String)| {
            let (before, after) = line.split_once("\"event_id\":\"").unwrap();
            let (_, after) = after.split_once('"').unwrap();
            format!("{before}\"event_id\":\"{number:036}\"{after}").into_bytes()
        };
        lines.iter().cycle().take(n_events).enumerate().map(fresh).collect()
    }

    /// `cargo test` runs benchmarks as well, to see that they run: these run for `cargo bench` alone.
    pub(super) fn run() {
        if !std::env::args().any(|argument| argument == "--bench") {
            return;
        }
        let (broker, context) = (EmbeddedBroker::start().unwrap(), fixture::context());
        broker.create_topic(TOPIC, N_PARTITIONS).unwrap();
        let lines = fresh_lines(N_EVENTS);
        let values = lines.iter().map(Vec::as_slice);
        broker.produce_all((TOPIC, N_PARTITIONS), values, |_| 0, |_| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut rates: [Vec<f64>; 2] = Default::default();
        for run in 0..N_RUNS {
            rates[0].push(bare(&broker));
            rates[1].push(runtime.block_on(ours(&broker, &context, &format!("ours-{run}"))));
        }
        let [bare, ours] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[N_RUNS / 2]
        });
        println!("bare consumer  {bare:>9.0} events/s");
        println!("kafka to state {ours:>9.0} events/s, {:.1} %", 100.0 * ours / bare);
    }
}
