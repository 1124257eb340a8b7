//! Alternating rounds, and the series of their results.

use std::collections::BTreeMap;

use super::{
    AdmissionError,
    decisions::Agreement,
    load::{Generator, Measured, Pattern},
    reviews::Workload,
    servers::{Server, ServerKind},
};
use crate::{
    bench::measure::Series,
    terminal::{heading, note},
};

/// Extent of the measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) rounds: u32,
    pub(super) seconds: f64,
}

/// Measured quantity. The order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quantity {
    /// Server's CPU time per review in microseconds, in a closed loop of 16 connections.
    ClosedCpu,
    /// Reviews per second, in the same loop.
    Rate,
    /// Part of [`Quantity::ClosedCpu`] that the server spends in the kernel.
    ClosedSystem,
    /// Load generator's CPU time per review, in the same loop.
    OwnCpu,
    /// Server's CPU time per review in microseconds, at 1,000 per second.
    OpenCpu,
    P50,
    P99,
    P999,
    /// New connections per second, each with one review.
    Connections,
    /// Server's CPU time per connection in microseconds.
    ConnectionCpu,
    /// Server's instructions in user mode per review, where the processor counts them.
    Instructions,
    /// Server's CPU time per review of a workload.
    Workload(usize),
}

/// Results of all rounds.
#[derive(Debug, Default)]
pub(super) struct Measures {
    /// Number of cases on which the decisions agree.
    pub(super) agreement: Agreement,
    series: BTreeMap<(Quantity, ServerKind), Series>,
    /// Latencies of the open loop in microseconds, sorted.
    pub(super) latencies: BTreeMap<ServerKind, Vec<u32>>,
    /// Peak of the resident memory at the end, in MB.
    pub(super) memory: BTreeMap<ServerKind, f64>,
}

impl Plan {
    /// Measures the servers. Each round begins with another server. The first workload is measured in all ways.
    pub(super) fn measure(
        self,
        generator: &Generator,
        servers: &[Server],
        workloads: &[Workload],
        agreement: Agreement,
    ) -> Result<Measures, AdmissionError> {
        let mut measures = Measures { agreement, ..Measures::default() };
        for round in 0..self.rounds {
            heading(format!("round {} of {}", round + 1, self.rounds));
            let first = usize::try_from(round).unwrap_or_default() % servers.len().max(1);
            for server in servers.iter().cycle().skip(first).take(servers.len()) {
                self.measure_one(generator, server, workloads, &mut measures)?;
            }
        }
        for server in servers {
            measures.memory.extend(server.peak_memory().map(|memory| (server.kind, memory)));
        }
        measures.latencies.values_mut().for_each(|latencies| latencies.sort_unstable());
        Ok(measures)
    }

    fn measure_one(
        self,
        generator: &Generator,
        server: &Server,
        workloads: &[Workload],
        measures: &mut Measures,
    ) -> Result<(), AdmissionError> {
        let Some((main, others)) = workloads.split_first() else { return Ok(()) };
        let mut add = |quantity, value| measures.add(quantity, server.kind, value);
        let closed = generator.send(server, main, Pattern::Closed { seconds: self.seconds })?;
        add(Quantity::ClosedCpu, closed.cpu());
        add(Quantity::Workload(0), closed.cpu());
        add(Quantity::ClosedSystem, closed.cpu() * closed.system_share());
        add(Quantity::Rate, closed.rate());
        add(Quantity::OwnCpu, closed.own_cpu());
        let open = generator.send(server, main, Pattern::Open { seconds: self.seconds })?;
        add(Quantity::OpenCpu, open.cpu());
        add(Quantity::P50, open.latency(0.5));
        add(Quantity::P99, open.latency(0.99));
        add(Quantity::P999, open.latency(0.999));
        let connections = generator.send(server, main, Pattern::Connections { seconds: self.seconds / 2.0 })?;
        add(Quantity::Connections, connections.rate());
        add(Quantity::ConnectionCpu, connections.cpu());
        if let Some(instructions) = per_review(generator, server, main)? {
            add(Quantity::Instructions, instructions);
        }
        for (number, workload) in (1..).zip(others) {
            let closed = generator.send(server, workload, Pattern::Closed { seconds: self.seconds / 4.0 })?;
            add(Quantity::Workload(number), closed.cpu());
        }
        describe(server.kind, &closed, &open);
        measures.latencies.entry(server.kind).or_default().extend(open.latencies);
        Ok(())
    }
}

/// Returns the instructions per review: the difference between two runs, without the handshakes.
fn per_review(generator: &Generator, server: &Server, workload: &Workload) -> Result<Option<f64>, AdmissionError> {
    const FEW: u32 = 1000;
    const MANY: u32 = 6000;
    let Some(few) = generator.instructions(server, workload, FEW)? else { return Ok(None) };
    let many = generator.instructions(server, workload, MANY)?;
    Ok(many.map(|many| (many - few) / f64::from(MANY - FEW)))
}

fn describe(kind: ServerKind, closed: &Measured, open: &Measured) {
    note(format!(
        "{:<10} {:>7.1} us per review, {:>6.0} reviews/s; at 1,000/s {:>7.1} us, p99 {:>6.2} ms",
        kind.name(),
        closed.cpu(),
        closed.rate(),
        open.cpu(),
        open.latency(0.99)
    ));
}

impl Measures {
    fn add(&mut self, quantity: Quantity, kind: ServerKind, value: f64) {
        self.series.entry((quantity, kind)).or_default().0.push(value);
    }

    /// Returns the values of a server, in the order of the rounds.
    pub(super) fn series(&self, quantity: Quantity, kind: ServerKind) -> Series {
        self.series.get(&(quantity, kind)).cloned().unwrap_or_default()
    }

    /// Returns whether there are values of a quantity.
    pub(super) fn has(&self, quantity: Quantity) -> bool {
        self.series.contains_key(&(quantity, ServerKind::Ours))
    }

    /// Returns the quotients of two servers, each within a round.
    pub(super) fn ratio(&self, quantity: Quantity, kind: ServerKind, to: ServerKind) -> Series {
        let (values, bases) = (self.series(quantity, kind), self.series(quantity, to));
        Series(values.0.iter().zip(&bases.0).map(|(value, base)| value / base).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_compares_values_of_the_same_round() {
        let mut measures = Measures::default();
        for (ours, floor) in [(20.0, 10.0), (90.0, 30.0), (8.0, 8.0)] {
            measures.add(Quantity::Rate, ServerKind::Ours, ours);
            measures.add(Quantity::Rate, ServerKind::Floor, floor);
        }
        let ratio = measures.ratio(Quantity::Rate, ServerKind::Ours, ServerKind::Floor);
        assert_eq!(ratio.0, [2.0, 3.0, 1.0]);
        assert_eq!((ratio.median(), ratio.spread()), (2.0, (1.0, 3.0)));
    }
}
