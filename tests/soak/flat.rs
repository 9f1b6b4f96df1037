//! What is flat.

use std::fs;

/// How much more memory is flat: what an allocator's own pools come and go by.
const FLAT_KIB: u64 = 4096;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// What was asked for and not given back.
    pub(crate) allocated_kib: u64,
    /// What the allocator has from the system: with pieces that it can't use, and it has one heap for each few threads.
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

pub(crate) fn sample() -> Sample {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let count = |directory| fs::read_dir(directory).unwrap().count();
    // SAFETY: reads counters of the allocator.
    let heap = unsafe { libc::mallinfo2() };
    Sample {
        allocated_kib: (heap.uordblks + heap.hblkhd) as u64 / 1024,
        resident_kib: pages * 4,
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
    }
}

/// What is measured, how, and how much more of it is flat still.
pub(crate) type Measure = (&'static str, fn(&Sample) -> u64, u64);

/// What grew between an early and the last part of a run; its first part is for warming up.
pub(crate) fn grown(samples: &[Sample]) -> Option<String> {
    let fifth = samples.len() / 5;
    if fifth < 2 {
        return Some(format!("only {} samples", samples.len()));
    }
    let (early, late) = (&samples[fifth..2 * fifth], &samples[samples.len() - fifth..]);
    let middle = |samples: &[Sample], of: fn(&Sample) -> u64| {
        let mut all: Vec<_> = samples.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let measures: [Measure; 4] = [
        ("KiB of memory", |sample| sample.allocated_kib, FLAT_KIB),
        // Room for what the allocator keeps for each thread that came and went.
        (
            "KiB of the system's memory",
            |sample| sample.resident_kib,
            16 * FLAT_KIB,
        ),
        // The batchers that live for a moment come and go.
        ("descriptors", |sample| sample.descriptors as u64, 3),
        ("threads", |sample| sample.threads as u64, 4),
    ];
    measures.iter().find_map(|(what, of, flat)| {
        let (before, after) = (middle(early, *of), middle(late, *of));
        (after > before + flat).then(|| format!("{before} {what} became {after}"))
    })
}
