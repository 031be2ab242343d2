//! Shared values in rows: each is written as what it points to, and read into one of its own.
//!
//! Reads and gives nothing but that; for the `with` of serde's attributes. Costs a copy a value that is read.

/// `Arc<str>`.
pub(super) mod text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::pipeline) fn serialize<S: Serializer>(shared: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        str::serialize(shared, to)
    }

    pub(in crate::pipeline) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(from)?.into())
    }
}

/// `Option<Arc<str>>`.
pub(super) mod text_if_any {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde gives a field by reference")]
    pub(in crate::pipeline) fn serialize<S: Serializer>(shared: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
        shared.as_deref().serialize(to)
    }

    pub(in crate::pipeline) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<str>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Arc::from))
    }
}

/// `Arc<T>`.
pub(super) mod value {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::pipeline) fn serialize<T: Serialize, S: Serializer>(
        shared: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(shared, to)
    }

    pub(in crate::pipeline) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}
