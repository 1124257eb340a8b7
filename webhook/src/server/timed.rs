//! Stream with a time limit for each exchange.
//!
//! hyper's own limit for reading a header also runs on an idle connection. It would close a connection that the
//! apiserver keeps for its next review, which then fails. The limit here starts with the first byte of a request and
//! ends with the last byte of the response. It covers header, body and handler, and a client that does not read. The header
//! has a shorter limit of its own.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::activity::Activity;

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// From the first byte of a request until its header is complete.
    pub(super) head: Duration,
    /// From the first byte of a request to the last byte of its response.
    pub(super) exchange: Duration,
    /// Between two exchanges, and before the first.
    pub(super) idle: Duration,
}

/// Stream that fails with a timeout if an exchange, or a pause between two, takes too long.
pub(super) struct Timed<S> {
    stream: S,
    activity: Arc<Activity>,
    limits: TimeLimits,
    timer: Pin<Box<Sleep>>,
    /// Start of the exchange in progress.
    begun: Option<Instant>,
    is_in_head: bool,
    has_written: bool,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, limits: TimeLimits) -> Self {
        let timer = Box::pin(sleep(limits.idle));
        Self { stream, activity, limits, timer, begun: None, is_in_head: false, has_written: false }
    }

    /// Starts the limits of an exchange, unless one is in progress.
    fn begin(&mut self) {
        if self.begun.is_none() {
            self.begun = Some(Instant::now());
            self.is_in_head = true;
            self.has_written = false;
            self.restart(self.limits.head.min(self.limits.exchange));
            if !self.activity.is_answering() {
                self.activity.set_waiting();
            }
        }
    }

    /// Ends the limit of the header once the request is with its handler.
    fn leave_head(&mut self) {
        if let Some(begun) = self.begun
            && self.is_in_head
            && (self.activity.is_answering() || self.has_written)
        {
            self.is_in_head = false;
            self.timer.as_mut().reset(begun + self.limits.exchange);
        }
    }

    /// Ends an exchange after its response, and starts the limit of the pause.
    fn end(&mut self) {
        if self.begun.is_some() && self.has_written && !self.activity.is_answering() {
            self.begun = None;
            self.restart(self.limits.idle);
            self.activity.set_waiting();
        }
    }

    fn restart(&mut self, limit: Duration) {
        self.timer.as_mut().reset(Instant::now() + limit);
    }

    /// Returns a timeout error once the limit is reached, and registers for a wake-up before.
    fn poll_limit<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.leave_head();
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.poll_limit(cx),
            done @ Poll::Ready(_) => {
                if buf.filled().len() > before {
                    self.begin();
                }
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.begin();
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Pending => self.poll_limit(cx),
            done @ Poll::Ready(_) => {
                self.has_written = true;
                done
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.poll_limit(cx),
            done @ Poll::Ready(_) => {
                self.end();
                done
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.poll_limit(cx),
            done @ Poll::Ready(_) => done,
        }
    }
}
