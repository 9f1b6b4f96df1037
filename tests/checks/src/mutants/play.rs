//! One test against one mutant: it passes, fails, or hangs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::tool::Result;

const TICK: Duration = Duration::from_millis(5);
/// So many ticks longer without any work than ever, and nothing to run: it waits for what does not come.
const IDLE_TICKS: u32 = 120;
/// Ticks between two looks at what it does.
const LOOK: u32 = 20;

/// A test of a suite.
pub(crate) struct Test {
    pub(crate) suite: String,
    pub(crate) executable: PathBuf,
    pub(crate) name: String,
    /// What it took without a mutant, in ticks of the loop that waits for it, and of the processor (10 ms).
    pub(crate) ticks: u32,
    pub(crate) work: u64,
    /// The longest that it waited, in ticks.
    pub(crate) idle: u32,
    /// A byte for each mutant that it comes by.
    pub(crate) reached: Vec<u8>,
}

/// How a test ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed,
    /// It waited without end, or worked far longer than before.
    Hung,
}

/// What a run took.
pub(crate) struct Played {
    pub(crate) end: End,
    pub(crate) ticks: u32,
    pub(crate) work: u64,
    pub(crate) idle: u32,
}

/// What every process of a run is told.
pub(crate) struct Place {
    /// Where the project's copy is.
    pub(crate) directory: PathBuf,
    /// A C compiler that compiles everything once.
    pub(crate) compilers: [(&'static str, PathBuf); 2],
}

/// Runs a test. With no mutant there is no limit but an absurd one.
pub(crate) fn play(
    place: &Place,
    test: &Test,
    variable: &str,
    value: &Path,
    is_limited: bool,
) -> Result<Played> {
    let mut command = Command::new(&test.executable);
    command
        .args(["--exact", &test.name, "--test-threads=1"])
        .current_dir(&place.directory)
        .env("CARGO_MANIFEST_DIR", &place.directory)
        .env("MICROBATCH_HISTORIES", "300")
        .env(variable, value)
        .envs(place.compilers.iter().map(|(name, path)| (name, path)))
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", test.executable.display()))?;
    let played = wait(&mut child, test, is_limited);
    // SAFETY: a signal to a group that this process made, whatever is left of it.
    unsafe { libc::kill(-child.id().cast_signed(), libc::SIGKILL) };
    let _ = child.wait();
    played
}

fn wait(child: &mut Child, test: &Test, is_limited: bool) -> Result<Played> {
    let (mut ticks, mut idle, mut longest, mut work) = (0_u32, 0_u32, 0_u32, 0_u64);
    // Ticks, not a clock: a machine that stops everything for a while stops this loop too.
    let most_ticks = if is_limited {
        8 * test.ticks + 4000
    } else {
        120_000
    };
    let most_work = if is_limited { 6 * test.work + 200 } else { u64::MAX };
    let most_idle = if is_limited {
        2 * test.idle + IDLE_TICKS
    } else {
        u32::MAX
    };
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(Played {
                end: ended(status),
                ticks,
                work,
                idle: longest,
            });
        }
        std::thread::sleep(if ticks < 20 { TICK / 5 } else { TICK });
        ticks += 1;
        if !ticks.is_multiple_of(LOOK) {
            continue;
        }
        let (now, is_running) = watched(child.id());
        idle = if now == work && !is_running {
            idle + LOOK
        } else {
            0
        };
        longest = longest.max(idle);
        work = now;
        if idle >= most_idle || work >= most_work || ticks >= most_ticks {
            return Ok(Played {
                end: End::Hung,
                ticks,
                work,
                idle: longest,
            });
        }
    }
}

fn ended(status: ExitStatus) -> End {
    if status.success() {
        End::Passed
    } else {
        End::Failed
    }
}

/// The processor's ticks that a group's living processes had, and whether any of their threads runs.
fn watched(group: u32) -> (u64, bool) {
    let (mut work, mut is_running) = (0, false);
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let Some(fields) = stat(&path) else { continue };
        if fields.get(2).is_none_or(|text| *text != group.to_string()) {
            continue;
        }
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        work += ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
        for thread in fs::read_dir(path.join("task")).into_iter().flatten().flatten() {
            let state = stat(&thread.path());
            is_running |=
                state.is_some_and(|fields| fields.first().is_some_and(|state| state == "R" || state == "D"));
        }
    }
    (work, is_running)
}

/// The fields of a stat file after the name: state, parent, group, ...
fn stat(process: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
