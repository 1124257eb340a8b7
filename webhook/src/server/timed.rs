//! Stream with a time limit for each exchange.
//!
//! hyper's own limit for reading a header also runs on an idle connection. It would close a connection that the
//! apiserver keeps for its next review, which then fails. The limit here starts with the first byte of a request and
//! ends with the last byte of the response. It covers header, body and handler, and a client that does not read.

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

/// Stream that fails with a timeout if an exchange, or a pause between two, takes too long.
pub(super) struct Timed<S> {
    stream: S,
    activity: Arc<Activity>,
    exchange: Duration,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    is_exchanging: bool,
    has_written: bool,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, exchange: Duration, idle: Duration) -> Self {
        let timer = Box::pin(sleep(idle));
        Self { stream, activity, exchange, idle, timer, is_exchanging: false, has_written: false }
    }

    /// Starts the limit of an exchange, unless one is in progress.
    fn begin(&mut self) {
        if !self.is_exchanging {
            self.is_exchanging = true;
            self.has_written = false;
            self.restart(self.exchange);
            if !self.activity.is_answering() {
                self.activity.set_waiting();
            }
        }
    }

    /// Ends an exchange after its response, and starts the limit of the pause.
    fn end(&mut self) {
        if self.is_exchanging && self.has_written && !self.activity.is_answering() {
            self.is_exchanging = false;
            self.restart(self.idle);
            self.activity.set_waiting();
        }
    }

    fn restart(&mut self, limit: Duration) {
        self.timer.as_mut().reset(Instant::now() + limit);
    }

    /// Returns a timeout error once the limit is reached, and registers for a wake-up before.
    fn poll_limit<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
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
