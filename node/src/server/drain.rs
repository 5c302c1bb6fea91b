//! A request's body whose rest is read after the answer.
//!
//! A connection that is closed with bytes in it is reset, and a reset makes clients throw the answer away: who sends too much, or
//! without a right to, would see a broken connection and send it all again.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    HeaderMap,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    header,
};
use tokio::runtime::Handle;

/// How much of a refused body is read, in bytes.
const MOST: usize = 1 << 20;
/// How long it may take to arrive.
const PATIENCE: Duration = Duration::from_secs(2);

/// A body that reads what its handler left.
#[derive(Debug)]
pub(super) struct Drained {
    body: Option<Incoming>,
    /// The client waits for leave to send: it is not asked for what nobody wants.
    expects: bool,
}

impl Drained {
    pub(super) fn new(body: Incoming, headers: &HeaderMap) -> Self {
        Self { body: Some(body), expects: headers.contains_key(header::EXPECT) }
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        // It has leave from the first read on.
        self.expects = false;
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !self.expects && !body.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut read = 0;
    while read < MOST {
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}
