//! What an error of librdkafka means for the source: the table, and nothing else.
//!
//! Takes an error as `poll` or a callback gives it; gives whether it goes away by itself, needs a question to a broker,
//! or is pointless to retry, and then what to do about it. librdkafka retries by itself whatever it can; what reaches us
//! is news, not a request to retry. A code that is not in the table is waited for and shown: an unknown error must not
//! end a service that may well go on, and the stall watchdog ends one that does not.
//!
//! Sources: librdkafka's `rdkafka.h` (codes below zero) and the Kafka protocol's error codes; which of them reach a
//! consumer was seen against Apache Kafka 4.4.0.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No error at all.
    Nothing,
    /// Goes away by itself, or shows elsewhere: told, counted, waited for.
    Wait,
    /// A topic may be missing: a broker is asked once the grace is over.
    AskForTopics,
    /// The place where we read is not there, or no place was given.
    Place,
    /// A wrong setting as long as the cluster never accepted us; afterwards a fault of the cluster, which is waited for.
    NotAccepted,
    /// Pointless to retry; with what to do.
    Fatal(&'static str),
}

/// What an error is about: the label of its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Connections, leaders and coordinators.
    Brokers,
    /// Who we are and what we may do.
    Access,
    /// The group and its protocol.
    Group,
    /// Topics and partitions.
    Topic,
    /// Offsets that are not there.
    Place,
    /// The bytes that a broker sent.
    Records,
    /// Anything else.
    Other,
}

impl Kind {
    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brokers => "brokers",
            Self::Access => "access",
            Self::Group => "group",
            Self::Topic => "topic",
            Self::Place => "place",
            Self::Records => "records",
            Self::Other => "other",
        }
    }
}

const READ_TOPIC: &str = "not allowed to read a topic: give this user the ACL `Read` on it";
const READ_GROUP: &str = "not allowed to use the consumer group: give this user the ACL `Read` on it";
const CLUSTER: &str = "not allowed on this cluster: the brokers refuse this user altogether";
const MECHANISM: &str = "the brokers do not know this `sasl.mechanism`: name one that they have";
const PROTOCOL: &str =
    "another member of the group divides partitions in another way: give panicsift a group of its own";
const SESSION: &str =
    "the brokers do not allow this `session.timeout.ms`: see `group.min.session.timeout.ms` of theirs";
const TWIN: &str = "another process has the same `group.instance.id`: each needs one of its own";
const VERSION: &str = "the brokers do not know what we ask for: they are too old for these settings";
const NAME_OF_GROUP: &str = "the brokers do not allow this name of a group: correct the setting `group`";
const NAME_OF_TOPIC: &str = "the brokers do not allow this name of a topic: correct the setting `topics`";
const DEAD: &str = "the kafka client will never work again: restart the service";

/// The table: code, kind, meaning. In the order of the kinds.
pub(super) const TABLE: [(Code, Kind, Meaning); 45] = [
    // Brokers: librdkafka goes on trying, and readiness says that none answers.
    (Code::AllBrokersDown, Kind::Brokers, Meaning::Wait),
    (Code::BrokerTransportFailure, Kind::Brokers, Meaning::Wait),
    (Code::Resolve, Kind::Brokers, Meaning::Wait),
    (Code::OperationTimedOut, Kind::Brokers, Meaning::Wait),
    (Code::RequestTimedOut, Kind::Brokers, Meaning::Wait),
    (Code::NetworkException, Kind::Brokers, Meaning::Wait),
    (Code::BrokerNotAvailable, Kind::Brokers, Meaning::Wait),
    (Code::LeaderNotAvailable, Kind::Brokers, Meaning::Wait),
    (Code::NotLeaderForPartition, Kind::Brokers, Meaning::Wait),
    (Code::ReplicaNotAvailable, Kind::Brokers, Meaning::Wait),
    (Code::CoordinatorLoadInProgress, Kind::Brokers, Meaning::Wait),
    (Code::CoordinatorNotAvailable, Kind::Brokers, Meaning::Wait),
    (Code::NotCoordinator, Kind::Brokers, Meaning::Wait),
    (Code::KafkaStorageError, Kind::Brokers, Meaning::Wait),
    (Code::ThrottlingQuotaExceeded, Kind::Brokers, Meaning::Wait),
    // Access.
    (Code::Authentication, Kind::Access, Meaning::NotAccepted),
    (Code::SaslAuthenticationFailed, Kind::Access, Meaning::NotAccepted),
    (Code::SSL, Kind::Access, Meaning::NotAccepted),
    (Code::TopicAuthorizationFailed, Kind::Access, Meaning::Fatal(READ_TOPIC)),
    (Code::GroupAuthorizationFailed, Kind::Access, Meaning::Fatal(READ_GROUP)),
    (Code::ClusterAuthorizationFailed, Kind::Access, Meaning::Fatal(CLUSTER)),
    (Code::UnsupportedSASLMechanism, Kind::Access, Meaning::Fatal(MECHANISM)),
    (Code::IllegalSASLState, Kind::Access, Meaning::Fatal(MECHANISM)),
    // The group: who was put out joins again by itself.
    (Code::UnknownMemberId, Kind::Group, Meaning::Wait),
    (Code::IllegalGeneration, Kind::Group, Meaning::Wait),
    (Code::RebalanceInProgress, Kind::Group, Meaning::Wait),
    (Code::PollExceeded, Kind::Group, Meaning::Wait),
    (Code::AssignmentLost, Kind::Group, Meaning::Wait),
    (Code::FencedMemberEpoch, Kind::Group, Meaning::Wait),
    (Code::GroupMaxSizeReached, Kind::Group, Meaning::Wait),
    (Code::InconsistentGroupProtocol, Kind::Group, Meaning::Fatal(PROTOCOL)),
    (Code::InvalidSessionTimeout, Kind::Group, Meaning::Fatal(SESSION)),
    (Code::FencedInstanceId, Kind::Group, Meaning::Fatal(TWIN)),
    (Code::UnsupportedVersion, Kind::Group, Meaning::Fatal(VERSION)),
    (Code::InvalidGroupId, Kind::Group, Meaning::Fatal(NAME_OF_GROUP)),
    // Topics.
    (Code::UnknownTopicOrPartition, Kind::Topic, Meaning::AskForTopics),
    (Code::UnknownTopic, Kind::Topic, Meaning::AskForTopics),
    (Code::UnknownPartition, Kind::Topic, Meaning::AskForTopics),
    (Code::InvalidTopic, Kind::Topic, Meaning::Fatal(NAME_OF_TOPIC)),
    // Places.
    (Code::AutoOffsetReset, Kind::Place, Meaning::Place),
    (Code::OffsetOutOfRange, Kind::Place, Meaning::Place),
    // Records: librdkafka asks for them again; what stays broken is a stall.
    (Code::BadMessage, Kind::Records, Meaning::Wait),
    (Code::BadCompression, Kind::Records, Meaning::Wait),
    // The client.
    (Code::Fatal, Kind::Other, Meaning::Fatal(DEAD)),
    (Code::Fenced, Kind::Other, Meaning::Fatal(DEAD)),
];

/// What an error is about, and what it means.
pub(super) fn read(error: &KafkaError) -> (Kind, Meaning) {
    if matches!(error, KafkaError::PartitionEOF(_)) {
        return (Kind::Other, Meaning::Nothing);
    }
    let code = error.rdkafka_error_code();
    let row = TABLE.iter().find(|(known, ..)| Some(*known) == code);
    let (kind, meaning) = row.map_or((Kind::Other, Meaning::Wait), |(_, kind, meaning)| (*kind, *meaning));
    match (error, meaning) {
        // Marked by librdkafka itself, whatever the code; a row with better words keeps them.
        (KafkaError::MessageConsumptionFatal(_), Meaning::Fatal(_)) => (kind, meaning),
        (KafkaError::MessageConsumptionFatal(_), _) => (kind, Meaning::Fatal(DEAD)),
        _ => (kind, meaning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &KafkaError, kind: Kind, meaning: Meaning) {
        assert_eq!(read(error), (kind, meaning), "{error}");
    }

    #[test]
    fn each_row_is_found_by_its_code_and_stands_once() {
        for (at, (code, kind, meaning)) in TABLE.iter().enumerate() {
            check(&KafkaError::MessageConsumption(*code), *kind, *meaning);
            check(&KafkaError::Global(*code), *kind, *meaning);
            assert!(TABLE.iter().skip(at + 1).all(|(other, ..)| other != code), "{code} stands twice");
        }
    }

    #[test]
    fn outages_are_waited_for_and_refusals_are_not() {
        check(&KafkaError::Global(Code::AllBrokersDown), Kind::Brokers, Meaning::Wait);
        check(&KafkaError::Global(Code::Authentication), Kind::Access, Meaning::NotAccepted);
        let topic = KafkaError::MessageConsumption(Code::TopicAuthorizationFailed);
        check(&topic, Kind::Access, Meaning::Fatal(READ_TOPIC));
    }

    #[test]
    fn an_error_that_nobody_knows_is_shown_and_ends_nothing() {
        check(&KafkaError::MessageConsumption(Code::NoEnt), Kind::Other, Meaning::Wait);
        check(&KafkaError::Canceled, Kind::Other, Meaning::Wait);
    }

    #[test]
    fn what_librdkafka_calls_fatal_is_fatal_whatever_its_code() {
        check(&KafkaError::MessageConsumptionFatal(Code::NoEnt), Kind::Other, Meaning::Fatal(DEAD));
        check(&KafkaError::MessageConsumptionFatal(Code::FencedInstanceId), Kind::Group, Meaning::Fatal(TWIN));
    }

    #[test]
    fn the_end_of_a_partition_is_no_error() {
        check(&KafkaError::PartitionEOF(3), Kind::Other, Meaning::Nothing);
    }
}
