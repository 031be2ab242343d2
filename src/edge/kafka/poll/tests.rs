//! What errors of a broker do to a source, on the embedded broker, which can be told to answer with any of them.

use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey as Ask, RDKafkaRespErr as Error};

use crate::edge::kafka::embedded::EmbeddedBroker;
use crate::edge::kafka::source::KafkaSource;
use crate::edge::kafka::status::SourceStatus;
use crate::edge::{Pull, Source, SourceError};
use crate::pipeline::event::Checkpoint;

/// Longest wait for what should come in a second or two.
const PATIENCE: Duration = Duration::from_mins(1);
const N_RECORDS: usize = 40;

/// Reads a topic of two partitions whose broker answers `n` requests of a kind with an error; the records that were read,
/// the status then, and the error that ended the source, if one did.
fn read(ask: Ask, error: Error, n: usize) -> (usize, SourceStatus, Option<String>) {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("events", 2).unwrap();
    let lines = [b"x".as_slice(); N_RECORDS];
    broker.produce_all(("events", 2), lines, |_| 0, |_| {}).unwrap();
    let mut settings = broker.consumer_settings("events", "readers");
    settings.idle_after = Duration::from_millis(50);
    if matches!(ask, Ask::JoinGroup) {
        // The new protocol of groups has no such request.
        settings.properties.remove("group.protocol");
    }
    broker.refuse(ask, &vec![error; n]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut checkpoint = EmbeddedBroker::start_positions("events", 2, Checkpoint::default());
        let mut source = KafkaSource::start(&settings, checkpoint.clone()).unwrap();
        let mut n_read = 0;
        let reading = async {
            while n_read < N_RECORDS {
                match source.next().await {
                    Ok(Pull::Batch(batch)) => {
                        n_read += batch.len();
                        batch.iter().for_each(|record| checkpoint.advance(record.position));
                        source.commit(&checkpoint, &checkpoint).unwrap();
                    }
                    Ok(_) => {}
                    Err(error) => return Some(error),
                }
            }
            None
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await.unwrap();
        let answered = async {
            while matches!(ask, Ask::OffsetCommit) && source.status().n_commit_errors == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap();
        let status = source.status();
        assert!(source.close(PATIENCE).await);
        let fatal = ended.map(|error| match error {
            SourceError::Fatal(why) => why,
            other => panic!("{other}"),
        });
        (n_read, status, fatal)
    })
}

/// The source ends and says what to do.
#[track_caller]
fn check_ends(ask: Ask, error: Error, expected: &str) {
    let (n_read, _, fatal) = read(ask, error, 50);
    let said = fatal.unwrap_or_else(|| panic!("{n_read} records were read"));
    assert!(said.contains(expected) && said.contains("events"), "{said}");
}

/// The source goes on and reads all.
#[track_caller]
fn check_goes_on(ask: Ask, error: Error) -> SourceStatus {
    let (n_read, status, fatal) = read(ask, error, 3);
    assert_eq!((n_read, fatal), (N_RECORDS, None));
    status
}

#[test]
fn what_is_not_allowed_ends_the_source_with_what_to_do() {
    check_ends(Ask::Fetch, Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "give this user the ACL `Read`");
    check_ends(
        Ask::JoinGroup,
        Error::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        "not allowed to use the consumer group",
    );
}

#[test]
fn what_a_broker_mends_by_itself_is_waited_for() {
    check_goes_on(Ask::Fetch, Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    check_goes_on(Ask::Fetch, Error::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    check_goes_on(Ask::FindCoordinator, Error::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    check_goes_on(Ask::JoinGroup, Error::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    check_goes_on(Ask::Metadata, Error::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
}

#[test]
fn a_commit_that_is_refused_is_counted_and_costs_nothing() {
    let (n_read, status, fatal) = read(Ask::OffsetCommit, Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 50);
    assert_eq!((n_read, fatal), (N_RECORDS, None));
    assert!(status.n_commit_errors > 0, "{status:?}");
}

#[test]
fn a_broker_that_no_longer_has_the_place_is_asked_what_it_has() {
    // It has everything after all: the partitions are fetched anew, and nothing is lost, repeated or told to be gone.
    let status = check_goes_on(Ask::Fetch, Error::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    assert_eq!(status.n_skipped_offsets, 0);
}
