use super::*;

fn key(partition: i32) -> Key {
    ("t".to_owned(), partition)
}

fn record(batch: &mut Batch, partition: i32, offset: i64) {
    batch.push(Position { topic: "t", partition, offset }, None, b"x");
}

/// Takes partitions as the poll thread does once it knows that these are all.
fn assign(handoff: &Handoff, keys: Vec<Key>) {
    handoff.assigned(keys);
    handoff.confirm(handoff.generation(), None, None);
}

/// Gives partitions up, and it is known that what is left is all there is.
fn revoke(handoff: &Handoff, keys: &[Key]) {
    handoff.revoked(keys);
    handoff.confirm(handoff.generation(), None, None);
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
        Taken::Gaps(_) | Taken::Nothing | Taken::Closed => Vec::new(),
    }
}

#[test]
fn records_of_a_partition_that_was_taken_away_are_never_handed_out() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5), (1, 9), (0, 6)]), Duration::ZERO).unwrap();
    revoke(&handoff, &[key(0)]);
    assert_eq!(taken(&handoff), [(1, 9)]);
    assert_eq!(handoff.status().n_revoked_records, 2);
}

#[test]
fn records_read_before_a_partition_went_and_came_back_are_not_handed_out() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    revoke(&handoff, &[key(0)]);
    assign(&handoff, vec![key(0)]);
    assert_eq!(taken(&handoff), []);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), [(0, 5)]);
}

#[test]
fn records_of_a_partition_that_stayed_survive_a_rebalance() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    let old = chunk(&handoff, &[(0, 1)]);
    assign(&handoff, vec![key(1)]);
    let mut kept = handoff.keep_owned(&old);
    record(&mut kept.batch, 1, 7);
    handoff.offer(kept, Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), [(0, 1), (1, 7)]);
}

#[test]
fn a_full_queue_gives_the_chunk_back() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
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
    handoff.decided(&checkpoint, &checkpoint);
    revoke(&handoff, &[key(0), key(1)]);
    assert_eq!(handoff.assigned(vec![key(0), key(1)]), [(key(0), Some(20)), (key(1), Some(3))]);
}

#[test]
fn only_partitions_that_are_ours_are_committed() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 4);
    checkpoint.set("t", 1, 5);
    handoff.decided(&checkpoint, &checkpoint);
    revoke(&handoff, &[key(0)]);
    assert_eq!(handoff.committable(), [(key(1), 5)]);
}

#[test]
fn a_revoke_waits_for_the_batch_in_flight_but_not_forever() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    assert!(handoff.await_decided(Duration::from_secs(5)), "nothing is in flight yet");
    revoke(&handoff, &[]);
    assert_eq!(taken(&handoff), [(0, 0)]);
    assert!(!handoff.await_decided(Duration::from_millis(1)), "the loop still holds the batch");
    // While a revoke waits the loop gets nothing new, and its coming back ends the wait.
    handoff.offer(chunk(&handoff, &[(0, 1)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), []);
    assert!(handoff.await_decided(Duration::from_secs(5)));
    revoke(&handoff, &[key(0)]);
    assert_eq!(taken(&handoff), []);
}

#[test]
fn what_was_queued_comes_before_the_end() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    handoff.end(End::Gone("why".into()));
    handoff.end(End::Closed);
    assert_eq!(taken(&handoff), [(0, 0)]);
    assert!(matches!(handoff.take(), Err(SourceError::Gone(why)) if why == "why"));
}

#[test]
fn the_position_is_that_of_the_last_record_of_each_partition() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
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
    assign(&handoff, vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 50), (0, 51), (1, 7)]), Duration::ZERO).unwrap();
    assert_eq!(handoff.status().n_skipped_offsets, 40);
}

#[test]
fn a_stopped_source_is_closed_even_with_a_full_queue() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0)]), Duration::ZERO).unwrap();
    handoff.stop();
    assert!(matches!(handoff.take(), Ok(Taken::Closed)));
    assert!(
        handoff.offer(chunk(&handoff, &[(0, 1)]), Duration::from_secs(5)).is_ok(),
        "the poll thread is not held up"
    );
}

#[test]
fn nothing_is_handed_out_until_it_is_known_that_all_partitions_are_ours() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5), (1, 9)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), []);
    assert!(handoff.confirm(handoff.generation(), Some(3), Some("2 of 3".into())));
    assert_eq!(taken(&handoff), []);
    assert_eq!((handoff.status().n_partitions, handoff.status().hold.as_deref()), (Some(3), Some("2 of 3")));
    assert!(!handoff.confirm(handoff.generation(), None, Some("2 of 3".into())), "no news");
    assert!(handoff.confirm(handoff.generation(), None, None));
    assert_eq!(taken(&handoff), [(0, 5), (1, 9)]);
}

#[test]
fn a_second_member_stops_what_was_queued_and_its_leaving_lets_it_go_on() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5), (1, 9)]), Duration::ZERO).unwrap();
    let before = handoff.generation();
    handoff.revoked(&[key(1)]);
    assert!(!handoff.confirm(before, None, None), "what was known before the revoke says nothing of after it");
    handoff.confirm(handoff.generation(), None, Some("1 of 2".into()));
    assert_eq!(taken(&handoff), []);
    assign(&handoff, vec![key(1)]);
    assert_eq!(taken(&handoff), [(0, 5)], "what was read of the other one before is read anew");
}

#[test]
fn a_hold_does_not_hide_the_end() {
    let handoff = Handoff::new(Checkpoint::default());
    handoff.assigned(vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    handoff.end(End::Fatal("why".into()));
    assert!(matches!(handoff.take(), Err(SourceError::Fatal(why)) if why == "why"));
}

fn gap(partition: i32) -> Gap {
    Gap { topic: "t".to_owned(), partition, from: 6, to: 9, end: None }
}

#[test]
fn a_gap_comes_after_what_was_read_before_it_and_before_what_comes_after_it() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
    handoff.offer(chunk(&handoff, &[(0, 5)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff), [(0, 5)]);
    let mut with_gap = chunk(&handoff, &[(0, 9)]);
    with_gap.gaps = vec![gap(0)];
    handoff.offer(with_gap, Duration::ZERO).unwrap();
    assert!(matches!(handoff.take(), Ok(Taken::Gaps(gaps)) if gaps == [gap(0)]));
    assert!(!handoff.await_decided(Duration::from_millis(1)), "the loop still writes the jump");
    handoff.revoked(&[]);
    handoff.confirm(handoff.generation(), None, None);
    assert_eq!(taken(&handoff), [(0, 9)]);
}

#[test]
fn a_gap_of_a_partition_that_was_taken_away_is_not_told() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0), key(1)]);
    let mut with_gaps = chunk(&handoff, &[(1, 9)]);
    with_gaps.gaps = vec![gap(0), gap(1)];
    handoff.offer(with_gaps, Duration::ZERO).unwrap();
    revoke(&handoff, &[key(0)]);
    assert!(matches!(handoff.take(), Ok(Taken::Gaps(gaps)) if gaps == [gap(1)]));
}

/// The loop may be late: its word about a partition that went and came back counts for the store, not for the group.
#[test]
fn a_late_acknowledgement_after_a_revoke_moves_nothing() {
    let handoff = Handoff::new(Checkpoint::default());
    assign(&handoff, vec![key(0)]);
    handoff.offer(chunk(&handoff, &[(0, 0), (0, 1)]), Duration::ZERO).unwrap();
    assert_eq!(taken(&handoff).len(), 2);
    assert!(!handoff.await_decided(Duration::from_millis(1)), "the wait is over before the loop is");
    revoke(&handoff, &[key(0)]);
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 2);
    handoff.decided(&checkpoint, &checkpoint);
    assert_eq!(handoff.committable(), []);
    assert_eq!(handoff.assigned(vec![key(0)]), [(key(0), Some(2))], "it starts behind what the store has");
}

#[test]
fn a_partition_that_was_made_anew_starts_where_the_loop_says() {
    let mut checkpoint = Checkpoint::default();
    checkpoint.set("t", 0, 5_000);
    let handoff = Handoff::new(checkpoint.clone());
    checkpoint.rewind("t", 0, 3);
    handoff.decided(&checkpoint, &checkpoint);
    assert_eq!(handoff.assigned(vec![key(0)]), [(key(0), Some(3))]);
}
