//! What the kernel says about this process, as metrics. Absent where there is no `/proc`.

use arqon_core::bus::{Metric, MetricKind};

/// The kernel counts processor time in hundredths of a second, on every architecture that matters here.
const TICKS: f64 = 100.0;

/// Memory, processor time, open files.
pub(crate) fn metrics() -> Vec<Metric> {
    let gauge = |name, help, value| Metric { name, help, kind: MetricKind::Gauge, value };
    let mut list = Vec::new();
    if let Some(bytes) = resident() {
        list.push(gauge("memory_usage_bytes", "Memory that the process holds.", bytes));
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        list.push(gauge("open_files", "Open file descriptors.", files.count() as f64));
    }
    if let Some(value) = processor() {
        let (name, help) = ("cpu_seconds_total", "Processor time of the process.");
        list.push(Metric { name, help, kind: MetricKind::Counter, value });
    }
    list
}

fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name may contain anything; what follows its closing parenthesis is fields 3 and on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i - 3)?.parse::<f64>().ok();
    Some((ticks(14)? + ticks(15)?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_memory_and_files() {
        let list = metrics();
        let value = |name: &str| list.iter().find(|m| m.name == name).unwrap().value;
        assert!(value("memory_usage_bytes") > 100_000.0);
        assert!(value("open_files") >= 3.0);
        assert!(value("cpu_seconds_total") >= 0.0);
    }
}
