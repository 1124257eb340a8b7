//! Metrics of the process, with the names that the client libraries of Prometheus have for them
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). They are read at each scrape.

use std::fmt;

use procfs::{
    ProcResult, boot_time_secs, page_size,
    process::{LimitValue, Process},
    ticks_per_second,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

/// Registers the metrics.
pub(super) fn register(registry: &mut Registry) {
    registry.sub_registry_with_prefix("process").register_collector(Box::new(ProcessMetrics));
}

#[derive(Debug)]
struct ProcessMetrics;

/// Resources that the process uses, as in `/proc/self`.
struct Usage {
    cpu_seconds: f64,
    /// Seconds since 1970.
    start_time: f64,
    /// Bytes.
    resident_memory: u64,
    /// Bytes.
    virtual_memory: u64,
    open_fds: u64,
    /// Soft limit; `None` if there is none.
    max_fds: Option<u64>,
}

impl Usage {
    #[expect(clippy::cast_precision_loss, reason = "Prometheus stores every value as f64")]
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds: seconds(stat.utime + stat.stime),
            start_time: boot_time_secs()? as f64 + seconds(stat.starttime),
            resident_memory: stat.rss * page_size(),
            virtual_memory: stat.vsize,
            open_fds: u64::try_from(process.fd_count()?).unwrap_or(u64::MAX),
            max_fds: match process.limits()?.max_open_files.soft_limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            },
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without a readable /proc there are no such metrics, as with the client library of Go.
        let Ok(usage) = Usage::read() else { return Ok(()) };
        let mut write = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        write("cpu", "Total user and system CPU time", seconds, &ConstCounter::new(usage.cpu_seconds))?;
        write("start_time", "Start time of the process since 1970", seconds, &ConstGauge::new(usage.start_time))?;
        write("resident_memory", "Resident memory", bytes, &gauge(usage.resident_memory))?;
        write("virtual_memory", "Virtual memory", bytes, &gauge(usage.virtual_memory))?;
        write("open_fds", "Open file descriptors", None, &gauge(usage.open_fds))?;
        usage.max_fds.map_or(Ok(()), |max| write("max_fds", "Limit of open file descriptors", None, &gauge(max)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn process_metrics_have_standard_names_and_plausible_values() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let values: BTreeMap<&str, f64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        let names = [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
        ];
        assert_eq!(values.keys().copied().collect::<Vec<_>>(), names);
        assert!(values["process_open_fds"] >= 3.0 && values["process_open_fds"] <= values["process_max_fds"]);
        let resident = values["process_resident_memory_bytes"];
        assert!(resident > 1e6 && resident <= values["process_virtual_memory_bytes"], "{values:?}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - values["process_start_time_seconds"];
        assert!((-5.0..86_400.0).contains(&age), "{age} s");
    }
}
