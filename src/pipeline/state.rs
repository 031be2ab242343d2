//! All that is remembered between batches, and the rows in which a store keeps it.

/// One row of the state that a batch changed; the store keeps rows and does not know what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Which collection it belongs to (`cell`, `actor`, `cluster`, `name`, …).
    pub kind: &'static str,
    /// Key within the collection.
    pub key: Vec<u8>,
    /// Its new value; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}
