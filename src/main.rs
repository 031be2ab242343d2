//! panicsift
fn main() {}
