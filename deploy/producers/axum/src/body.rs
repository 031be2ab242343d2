//! The body of a request, copied up to a bound while the handler reads it; nothing is read ahead or held back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// What the handler has read of a body so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copy(Arc<Mutex<Taken>>);

/// Bytes read, and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that went through, kept or not.
    pub(crate) n_bytes: u64,
    /// The end was reached, so `n_bytes` is the length of the body.
    pub(crate) is_whole: bool,
}

impl Copy {
    /// What was read until now.
    pub(crate) fn taken(&self) -> Taken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, data: Option<&Bytes>, bytes_max: usize, is_end: bool) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(data) = data {
            let room = bytes_max.saturating_sub(taken.bytes.len());
            taken.bytes.extend(data.iter().take(room));
            taken.n_bytes = taken.n_bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        taken.is_whole |= is_end;
    }
}

/// A body that leaves a copy of its first bytes.
struct Copied {
    body: Body,
    copy: Copy,
    bytes_max: usize,
}

/// Wraps a body; the copy fills as the new one is read.
pub(crate) fn copied(body: Body, bytes_max: usize) -> (Body, Copy) {
    let copy = Copy::default();
    copy.note(None, 0, body.is_end_stream());
    (Body::new(Copied { body, copy: copy.clone(), bytes_max }), copy)
}

impl HttpBody for Copied {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &frame {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
            let is_end = frame.is_none() || self.body.is_end_stream();
            self.copy.note(data, self.bytes_max, is_end);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
