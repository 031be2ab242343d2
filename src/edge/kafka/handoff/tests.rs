use super::*;

fn key(partition: i32) -> Key {
    ("t".to_owned(), partition)
}

fn record(batch: &mut Batch, partition: i32, offset: i64) {
    batch.push(Position { topic: "t", partition, offset }, None, b"x");
}

fn chunk(handoff: &Handoff, records: &[(i32, i64)]) -> Chunk {
    let mut chunk = Chunk { generation: handoff.generation(), ..Chunk::default() };
    for (partition, offset) in records {
        record(&mut chunk.batch, *partition, *offset);
    }
    chunk
}

fn taken(handoff: &Handoff) -> Vec<(i32, i64)> {
    match handoff.take().unwrap() {
        Taken::Batch(batch) => batch.iter().map(|r| (r.position.partition, r.position.offset)).collect(),
        Taken::Nothing | Taken::Closed => Vec::new(),
    }
}

#[test]
fn records_of_a_partition_that_was_taken_away_are_never_handed_out() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5), (1, 9), (0, 6)]), Duration::ZERO).unwrap();
    handoff.revoked(&[key(0)]);
    assert_eq!(taken(&handoff), [(1, 9)]);
    assert_eq!(handoff.status().n_revoked_records, 2);
}

#[test]
fn records_read_before_a_partition_went_and_came_back_are_not_handed_out() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    handoff.revoked(&[key(0)]);
    handoff.assigned(vec![key(0)]);
    assert_eq!(taken(&handoff), []);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), [(0, 5)]);
}

#[test]
fn records_of_a_partition_that_stayed_survive_a_rebalance() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    let old = chunk(&handoff, &[(0, 1)]);
    handoff.assigned(vec![key(1)]);
    let mut kept = handoff.keep_owned(&old);
    record(&mut kept.batch, 1, 7);
    handoff.offer(kept, Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), [(0, 1), (1, 7)]);
}

#[test]
fn a_full_queue_gives_the_chunk_back() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    for _ in 0..QUEUE_CHUNKS_MAX {
        handoff.offer(chunk(&handoff, &[(0, 1)]), Duration::ZERO).unwrap();
    }
    assert!(handoff.offer(chunk(&handoff, &[(0, 9)]), Duration::from_millis(1)).is_err());
    taken(&handoff);
    assert!(handoff.offer(chunk(&handoff, &[(0, 9)]), Duration::from_millis(1)).is_ok());
}

#[test]
fn a_partition_starts_at_the_latest_checkpoint_that_was_told() {
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 10);
    let handoff = Handoff::new(checkpoint.clone());
    assert_eq!(handoff.assigned(vec![key(0), key(1)]), [(key(0), Some(10)), (key(1), None)]);
    checkpoint.set("t", 0, 20);
    checkpoint.set("t", 1, 3);
    handoff.decided(&checkpoint);
    handoff.revoked(&[key(0), key(1)]);
    assert_eq!(handoff.assigned(vec![key(0), key(1)]), [(key(0), Some(20)), (key(1), Some(3))]);
}

#[test]
fn only_partitions_that_are_ours_are_committed() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0), key(1)]);
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 4);
    checkpoint.set("t", 1, 5);
    handoff.decided(&checkpoint);
    handoff.revoked(&[key(0)]);
    assert_eq!(handoff.committable(), [(key(1), 5)]);
}

#[test]
fn a_revoke_waits_for_the_batch_in_flight_but_not_forever() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    assert!(handoff.await_decided(Duration::from_secs(5)), "nothing is in flight yet");
    handoff.revoked(&[]);
    assert_eq!(taken(&handoff), [(0, 0)]);
    assert!(!handoff.await_decided(Duration::from_millis(1)), "the loop still holds the batch");
    // While a revoke waits the loop gets nothing new, and its coming back ends the wait.
    handoff.offer(chunk(&handoff, &[(0, 1)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), []);
    assert!(handoff.await_decided(Duration::from_secs(5)));
    handoff.revoked(&[key(0)]);
    assert_eq!(taken(&handoff), []);
}

#[test]
fn what_was_queued_comes_before_the_end() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    handoff.end(End::Gone("why".into()));
    handoff.end(End::Closed);
    assert_eq!(taken(&handoff), [(0, 0)]);
    assert!(matches!(handoff.take(), Err(SourceError::Gone(why)) if why == "why"));
}

#[test]
fn the_position_is_that_of_the_last_record_of_each_partition() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5), (1, 9), (0, 6), (1, 10), (1, 11)]), Duration::ZERO).unwrap();
    let next: Vec<Option<i64>> = handoff.status().partitions.iter().map(|p| p.next_read).collect();
    assert_eq!(next, [Some(7), Some(12)]);
    assert_eq!(handoff.status().n_skipped_offsets, 0);
}

#[test]
fn offsets_that_were_jumped_over_are_counted() {
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 10);
    let handoff = Handoff::new(checkpoint);
    handoff.assigned(vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 50), (0, 51), (1, 7)]), Duration::ZERO).unwrap();
    assert_eq!(handoff.status().n_skipped_offsets, 40);
}

#[test]
fn a_stopped_source_is_closed_even_with_a_full_queue() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    handoff.stop();
    assert!(matches!(handoff.take(), Ok(Taken::Closed)));
    assert!(
        handoff.offer(chunk(&handoff, &[(0, 1)]), Duration::from_secs(5)).is_ok(),
        "the poll thread is not held up"
    );
}
