//! Readers of a body that arrives in chunks, with a bound.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use hyper::body::{Buf, Bytes};
use tokio::sync::mpsc::Receiver;

/// A blocking reader of chunks. The end of the channel is the end of the body.
#[derive(Debug)]
pub(super) struct Chunks {
    receiver: Receiver<Bytes>,
    chunk: Bytes,
}

/// Number of bytes that a reader may return until the next [`Budget::renew`]. The budget bounds the part of an element
/// that a parser keeps, whatever the answer is.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Rc<Cell<usize>>,
    longest: usize,
}

/// A reader that fails when its budget is used up.
#[derive(Debug)]
pub(super) struct Budgeted<R> {
    inner: R,
    budget: Budget,
}

impl Chunks {
    pub(super) fn new(receiver: Receiver<Bytes>) -> Self {
        Self { receiver, chunk: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Budget {
    /// Builds a budget of `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self { left: Rc::new(Cell::new(longest)), longest }
    }

    /// Restores the full budget, for the next element.
    pub(super) fn renew(&self) {
        self.left.set(self.longest);
    }
}

impl<R> Budgeted<R> {
    pub(super) fn new(inner: R, budget: Budget) -> Self {
        Self { inner, budget }
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.budget.left.get().checked_sub(count) {
            Some(left) => self.budget.left.set(left),
            None => return Err(io::Error::other(format!("an element is longer than {} bytes", self.budget.longest))),
        }
        Ok(count)
    }
}
