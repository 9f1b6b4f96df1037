//! microbatch beside its peers: `cargo bench -p microbatch-bench`; see `benches/README.md`.
//!
//! `-- FILTER` runs what has FILTER in its id: `F1`, `F4/job`, `growth`. `--short` makes 3 rounds instead of 15, `--long` adds
//! 10^8 values, `--list` names all, `--table` prints the table of the last results and draws the plots, and measures nothing;
//! `--bless` does so and puts both into `benches/README.md`, `benches/plots` and the project's README.

use microbatch_bench::case::{self, Effort};
use microbatch_bench::probe::Probe;
use microbatch_bench::report::{self, Line, Records};
use microbatch_bench::{cases, idle, latency, memory, plot};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() {
    if let Ok(what) = std::env::var(memory::CHILD) {
        return memory::in_child(&what);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let known = ["--bench", "--short", "--long", "--list", "--table", "--bless"];
    if let Some(unknown) = args
        .iter()
        .find(|arg| arg.starts_with('-') && !known.contains(&arg.as_str()))
    {
        eprintln!("{unknown} is no option: there are {}", known[1..].join(", "));
        std::process::exit(2);
    }
    if !has("--bench") {
        // Started by `cargo test`: there is nothing to test.
        return;
    }
    let filters: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wants = |id: &str| filters.is_empty() || filters.iter().any(|filter| id.contains(filter));
    let effort = Effort {
        rounds: if has("--short") { 3 } else { 15 },
        time: Duration::from_millis(if has("--short") { 0 } else { 700 }),
    };

    let mut records = Records::open(&folder());
    if !has("--table") && !has("--bless") {
        let machine = machine();
        println!("{machine}; load average before: {}", load());
        let probe = Probe::new();
        let mut ran = 0;
        for (ids, run) in measurements(effort, has("--long"), probe.as_ref()) {
            if !ids.iter().any(|id| wants(id)) {
                continue;
            }
            ran += 1;
            if has("--list") {
                println!("{}", ids.join("\n"));
                continue;
            }
            for line in run() {
                println!("{}", line.text());
                records.put(&line, &machine);
            }
        }
        if ran == 0 {
            eprintln!(
                "no measurement has {} in its id: --list names them",
                filters.join(" or ")
            );
            std::process::exit(2);
        }
        if has("--list") {
            return;
        }
        println!("load average after: {}", load());
    }
    println!("\n{}", records.asked());
    match records.save() {
        Ok(path) => println!("results: {}", path.display()),
        Err(error) => eprintln!("results could not be written: {error}"),
    }
    match plot::all(&records, &folder()) {
        Ok(files) => files.iter().for_each(|file| println!("plot: {}", file.display())),
        Err(error) => eprintln!("plots could not be drawn: {error}"),
    }
    if has("--bless")
        && let Err(error) = bless(&records)
    {
        eprintln!("the documents could not be written: {error}");
        std::process::exit(1);
    }
}

/// The results as the documents show them.
fn bless(records: &Records) -> Result<(), Box<dyn std::error::Error>> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    plot::all(records, &benches.join("plots"))?;
    let on = format!("On {}.\n\n", records.machines());
    report::paste(
        &benches.join("README.md"),
        "figures",
        &format!("{on}{}", records.asked()),
    )?;
    let readme = benches.parent().unwrap_or(benches).join("README.md");
    report::paste(&readme, "figures", &format!("{on}{}", records.shown()))?;
    Ok(())
}

/// One or several measurements that are made together: their ids, and how.
type Measurement<'a> = (Vec<String>, Box<dyn FnOnce() -> Vec<Line> + 'a>);

fn measurements(effort: Effort, long: bool, probe: Option<&Probe>) -> Vec<Measurement<'_>> {
    let mut all: Vec<Measurement<'_>> = Vec::new();
    for case in cases::all(long) {
        all.push((
            vec![case.id.clone()],
            Box::new(move || vec![case::run(&case, probe, effort)]),
        ));
    }
    for (delay, name) in latency::DELAYS {
        let values = if delay > 1_000_000 { 10 } else { 50 } * effort.rounds;
        let run = move || vec![latency::lone(delay, name, values, probe)];
        all.push((vec![format!("F10/lone/{name}")], Box::new(run)));
    }
    let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    all.push((
        ids(&["F10/load", "F10/batch"]),
        Box::new(move || latency::under_load(effort, probe)),
    ));
    all.push((ids(&["F11/memory", "F11/burst"]), Box::new(memory::per_value)));
    all.push((ids(&["F13/idle"]), Box::new(|| vec![idle::quiet()])));
    all.push((
        ids(&["F13/create"]),
        Box::new(move || vec![idle::create(effort.rounds)]),
    ));
    all.push((ids(&["F13/batchers"]), Box::new(|| vec![memory::idle_batchers()])));
    all.push((
        ids(&["growth/batchers", "growth/batcher-bytes"]),
        Box::new(memory::many_batchers),
    ));
    all
}

/// Where results and plots go: `target/figures`.
fn folder() -> PathBuf {
    // target/release/deps/figures-...
    let this = std::env::current_exe().unwrap_or_default();
    this.ancestors().nth(3).unwrap_or(Path::new(".")).join("figures")
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Figures mean little without the machine, and little on a busy one.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(':').nth(1))
            .unwrap_or("?")
            .trim()
            .to_owned()
    };
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let virtually = if of("flags").contains("hypervisor") {
        "virtual "
    } else {
        ""
    };
    format!(
        "{cores} {virtually}cores, {} (family {}, model {})",
        of("model name"),
        of("cpu family"),
        of("model\t"),
    )
}
