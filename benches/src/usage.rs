//! Processor time: of this process, and of everything else on the machine, which is what a measurement suffers from.

/// What the process used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time of all its threads, in nanoseconds.
    pub cpu_ns: f64,
    /// Times that a thread went to sleep or was put aside.
    pub switches: f64,
}

impl Usage {
    /// Now.
    pub fn now() -> Usage {
        // SAFETY: rusage is plain numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is writable.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
        let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
        Usage {
            cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw) as f64,
        }
    }
}

/// What all processors did so far.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    busy: f64,
    all: f64,
    own: f64,
}

impl Machine {
    /// Now.
    pub fn now() -> Machine {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        // SAFETY: sysconf takes a number and answers one.
        let second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let all: f64 = ticks.iter().sum::<f64>() / second;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let idle = ticks.iter().skip(3).take(2).sum::<f64>() / second;
        Machine {
            busy: all - idle,
            all,
            own: Usage::now().cpu_ns / 1e9,
        }
    }

    /// The share of the machine that others had since then.
    pub fn others(self) -> f64 {
        let now = Machine::now();
        let busy = (now.busy - self.busy) - (now.own - self.own);
        (busy / (now.all - self.all)).max(0.0)
    }
}
