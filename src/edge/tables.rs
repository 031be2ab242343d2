//! The address tables.
