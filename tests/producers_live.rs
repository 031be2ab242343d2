//! The producers of `deploy/producers` against real servers, where there are some: what they tell of real panics comes
//! out of the service as clusters and alerts. `PANICSIFT_TEST_KAFKA=host:port` names a broker.

mod axum;
mod collector;
