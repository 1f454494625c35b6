//! Commands under way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream as _;
use futures_util::stream::FuturesOrdered;
use pin_project_lite::pin_project;

use crate::profile::Refusable;
use crate::telemetry::Timer;

pin_project! {
    /// A command under way, with what its refusal would name.
    struct Call<F> {
        request: Option<Refusable>,
        since: Timer,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Call<F> {
    type Output = (Refusable, Timer, F::Output);
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        Poll::Ready((this.request.take().unwrap_or_default(), *this.since, output))
    }
}

/// The commands of a session that are under way. While there is none, nothing is held for them.
pub(super) struct Calls<F: Future>(Option<Box<FuturesOrdered<Call<F>>>>);

impl<F: Future> Calls<F> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn push(&mut self, request: Refusable, future: F) {
        let calls = self.0.get_or_insert_with(Box::default);
        calls.push_back(Call { request: Some(request), since: Timer::start(), future });
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |calls| calls.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output of the oldest call, and when it began; `None` if there is no call.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Refusable, Timer, F::Output)>> {
        let Some(calls) = &mut self.0 else { return Poll::Ready(None) };
        let next = Pin::new(&mut **calls).poll_next(cx);
        if calls.is_empty() {
            self.0 = None;
        }
        next
    }
}
