//! What the kernel says about this process. Nothing where there is no `/proc`.

/// The kernel counts processor time in hundredths of a second, on every architecture that matters here.
const TICKS: f64 = 100.0;

/// See the module.
pub(crate) struct Process {
    /// Memory that it holds, in bytes.
    pub(crate) memory: Option<f64>,
    /// Open file descriptors.
    pub(crate) files: Option<f64>,
    /// Processor time.
    pub(crate) cpu_seconds: Option<f64>,
}

impl Process {
    /// As it is now.
    pub(crate) fn now() -> Process {
        let files = std::fs::read_dir("/proc/self/fd").ok();
        let files = files.map(|files| files.count() as f64);
        Process { memory: resident(), files, cpu_seconds: processor() }
    }
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
        let Process { memory, files, cpu_seconds } = Process::now();
        assert!(memory.unwrap() > 100_000.0 && files.unwrap() >= 3.0 && cpu_seconds.unwrap() >= 0.0);
    }
}
