//! Results: for people as a table, for machines as JSON, for the README as Markdown.

use crate::sample::Sample;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// From this share of the machine on that others had, numbers are not to be believed.
const BUSY: f64 = 0.1;

/// A measured number with what lies around it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle: a median unless the line says otherwise.
    pub middle: f64,
    /// Below: the lower quartile, unless the line says otherwise.
    pub low: f64,
    /// Above.
    pub high: f64,
}

impl Spread {
    /// Median and quartiles.
    pub fn of(sample: &Sample) -> Spread {
        Spread {
            middle: sample.median(),
            low: sample.quantile(0.25),
            high: sample.quantile(0.75),
        }
    }

    /// A number alone.
    pub fn exactly(value: f64) -> Spread {
        Spread {
            middle: value,
            low: value,
            high: value,
        }
    }

    fn text(self) -> String {
        if self.low == self.high {
            return number(self.middle);
        }
        format!(
            "{} ({}-{})",
            number(self.middle),
            number(self.low),
            number(self.high)
        )
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        below if below < 9.995 => format!("{value:.2}"),
        below if below < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What one side gave.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub who: String,
    /// What was measured.
    pub value: Spread,
    /// How many times that is what ours, the best of them, took: from pairs of neighbouring rounds.
    pub ratio: Option<Spread>,
    /// What was asked, and whether it was reached.
    pub bar: Option<(String, bool)>,
    /// Rounds, or values.
    pub count: usize,
    /// Of a whole job: processor nanoseconds a value, and context switches for 1,000 values.
    pub usage: Option<(f64, f64)>,
}

impl Row {
    /// A side's median and quartiles.
    pub fn of(who: &str, sample: &Sample) -> Row {
        Row::exactly(who, Spread::of(sample), sample.count())
    }

    /// A side's numbers.
    pub fn exactly(who: &str, value: Spread, count: usize) -> Row {
        Row {
            who: who.to_owned(),
            value,
            ratio: None,
            bar: None,
            count,
            usage: None,
        }
    }

    /// How many times slower than ours.
    pub fn ratio(&mut self, ratios: &Sample) {
        self.ratio = Some(Spread::of(ratios));
    }

    /// Ours is to be so many times faster than this.
    pub fn faster(&mut self, times: f64) {
        let reached = self.ratio.is_some_and(|ratio| ratio.middle >= times);
        self.bar = Some((format!(">= {times} x"), reached));
    }

    /// This is to be no more than so much.
    pub fn within(&mut self, most: f64) {
        self.bar = Some((format!("<= {most}"), self.value.middle <= most));
    }

    /// A peer that takes `times` this is a fair one up to 2.5.
    pub fn fair(&mut self, times: f64) {
        self.bar = Some((
            format!("the peer's push is {times:.2} of them, fair up to 2.5"),
            times <= 2.5,
        ));
    }
}

/// A measurement.
#[derive(Clone, Debug)]
pub struct Line {
    /// The figure it is for, or "growth".
    pub figure: String,
    /// Its name for filters.
    pub id: String,
    /// Its name in the table.
    pub title: String,
    /// What the numbers are.
    pub unit: String,
    /// What each side gave.
    pub rows: Vec<Row>,
    /// Nanoseconds of the core-to-core probe beside each round.
    pub probes: Sample,
    /// The share of the machine that others had meanwhile.
    pub others: f64,
    skipped: Vec<(String, String)>,
}

impl Line {
    /// An empty one.
    pub fn new(figure: &str, id: &str, title: &str, unit: &str) -> Line {
        Line {
            figure: figure.to_owned(),
            id: id.to_owned(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            rows: Vec::new(),
            probes: Sample::default(),
            others: f64::NAN,
            skipped: Vec::new(),
        }
    }

    /// A side could not take part.
    pub fn skip(&mut self, who: &str, how: &str) {
        self.skipped.push((who.to_owned(), how.to_owned()));
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let probe = match self.probes.count() {
            0 => String::new(),
            rounds => format!(
                "probe {:.0} ns ({:.0}-{:.0}), {rounds} samples",
                self.probes.median(),
                self.probes.quantile(0.05),
                self.probes.quantile(0.95)
            ),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<4} {}   [{}]   {}   {probe}",
            self.figure, self.title, self.id, self.unit
        );
        if self.others >= BUSY {
            let _ = writeln!(
                text,
                "     NOT TO BE BELIEVED: others had {:.0} % of the machine",
                100.0 * self.others
            );
        }
        for row in &self.rows {
            let ratio = row
                .ratio
                .map_or(String::new(), |ratio| format!("{} x", ratio.text()));
            let bar = row.bar.as_ref().map_or(String::new(), |(bar, reached)| {
                format!("{bar}: {}", if *reached { "reached" } else { "MISSED" })
            });
            let usage = row.usage.map_or(String::new(), |(cpu, switches)| {
                format!("cpu {}, {switches:.2} switches", number(cpu))
            });
            let _ = writeln!(
                text,
                "     {:<32} {:<24} {ratio:<22} {usage:<27} {bar}",
                row.who,
                row.value.text()
            );
        }
        for (who, how) in &self.skipped {
            let _ = writeln!(text, "     {who:<32} skipped: {how}");
        }
        text
    }

    fn json(&self) -> Value {
        let spread =
            |spread: Spread| json!({"middle": spread.middle, "low": spread.low, "high": spread.high});
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "who": row.who,
                    "value": spread(row.value),
                    "ratio": row.ratio.map(spread),
                    "bar": row.bar.as_ref().map(|(bar, _)| bar),
                    "reached": row.bar.as_ref().map(|(_, reached)| reached),
                    "count": row.count,
                    "cpu_ns": row.usage.map(|(cpu, _)| cpu),
                    "switches_per_1000": row.usage.map(|(_, switches)| switches),
                })
            })
            .collect();
        json!({
            "figure": self.figure,
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "rows": rows,
            "probe": {"middle": self.probes.median(), "p5": self.probes.quantile(0.05), "p95": self.probes.quantile(0.95)},
            "others": self.others,
            "skipped": self.skipped.iter().map(|(who, _)| who).collect::<Vec<_>>(),
        })
    }
}

/// Where results are kept between runs: one record a measurement, so that a run of a part replaces that part.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    lines: Vec<Value>,
}

impl Records {
    /// Those of this folder.
    pub fn open(folder: &Path) -> Records {
        let path = folder.join("figures.json");
        let lines = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok())
            .unwrap_or_default();
        Records { path, lines }
    }

    /// Adds a measurement, in place of an earlier one of the same name.
    pub fn put(&mut self, line: &Line, machine: &str) {
        let mut new = line.json();
        new["machine"] = machine.into();
        match self.lines.iter_mut().find(|old| old["id"] == new["id"]) {
            Some(old) => *old = new,
            None => self.lines.push(new),
        }
    }

    /// Writes them down.
    pub fn save(&self) -> std::io::Result<&Path> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.path, serde_json::to_string_pretty(&self.lines)?)?;
        Ok(&self.path)
    }

    /// Those whose names begin so.
    pub fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines
            .iter()
            .filter(move |line| line["id"].as_str().is_some_and(|id| id.starts_with(prefix)))
    }

    /// Every measurement that was asked something, as Markdown.
    pub fn asked(&self) -> String {
        let mut text = String::from(
            "| figure | measured | microbatch | against | times faster | target | |\n|---|---|---|---|---|---|---|\n",
        );
        for line in self.sorted() {
            let ours = ours(line);
            for row in
                rows(line).filter(|row| !row["bar"].is_null() && row["who"] != "a bare lock and unlock")
            {
                let own = row["ratio"].is_null();
                let ours = if own { row } else { ours.unwrap_or(row) };
                let (peer, ratio) = if own {
                    let who = plain(&row["who"])
                        .trim_start_matches("microbatch")
                        .trim_start_matches([',', ' ']);
                    (who.to_owned(), String::new())
                } else {
                    (
                        format!("{}: {}", plain(&row["who"]), spread_text(&row["value"])),
                        spread_text(&row["ratio"]),
                    )
                };
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {peer} | {ratio} | {} | {} |",
                    plain(&line["figure"]),
                    measured(line),
                    spread_text(&ours["value"]),
                    plain(&row["bar"]),
                    if row["reached"] == true {
                        "reached"
                    } else {
                        "missed"
                    },
                );
            }
        }
        text
    }

    /// What the project's README shows, as Markdown.
    pub fn shown(&self) -> String {
        let mut text = String::from("| measured | microbatch | peers in the same run |\n|---|---|---|\n");
        for id in SHOWN {
            for line in self.named(id).filter(|line| line["id"] == id) {
                let Some(ours) = ours(line) else { continue };
                let peers: Vec<_> = rows(line)
                    .filter(|row| {
                        !plain(&row["who"]).starts_with("microbatch")
                            && row["who"] != "a bare lock and unlock"
                    })
                    .map(|row| format!("{} {}", plain(&row["who"]), spread_text(&row["value"])))
                    .collect();
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "| {} | **{}** | {} |",
                    measured(line),
                    spread_text(&ours["value"]),
                    peers.join("; ")
                );
            }
        }
        text
    }

    /// The machines that the measurements were made on.
    pub fn machines(&self) -> String {
        let mut all: Vec<_> = self.lines.iter().map(|line| plain(&line["machine"])).collect();
        all.sort_unstable();
        all.dedup();
        all.join("; ")
    }

    /// In the order of the figures.
    fn sorted(&self) -> Vec<&Value> {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|line| {
            let figure = plain(&line["figure"]);
            figure.trim_start_matches('F').parse::<u32>().unwrap_or(u32::MAX)
        });
        lines
    }
}

/// The ids of what the project's README shows.
const SHOWN: [&str; 8] = [
    "F1/push/1/alone",
    "F3/bulk/int64/4096",
    "F4/job/1",
    "F4/job/2",
    "F5/job/16/1",
    "F6/future",
    "F10/lone/1 ms",
    "F11/memory/int64",
];

fn rows(line: &Value) -> impl Iterator<Item = &Value> {
    line["rows"].as_array().into_iter().flatten()
}

/// The best of our rows, without what an option buys with a core.
fn ours(line: &Value) -> Option<&Value> {
    rows(line)
        .filter(|row| plain(&row["who"]).starts_with("microbatch") && !plain(&row["who"]).ends_with(SPUN_OUT))
        .min_by(|a, b| middle(&a["value"]).total_cmp(&middle(&b["value"])))
}

/// How rows end that spin out the end of a delay.
pub(crate) const SPUN_OUT: &str = "spun out";

fn measured(line: &Value) -> String {
    let doubt = if line["others"].as_f64().is_some_and(|share| share >= BUSY) {
        " (on a busy machine)"
    } else {
        ""
    };
    let unit = match plain(&line["unit"]) {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    format!("{}{unit}{doubt}", plain(&line["title"]))
}

/// Puts a text between two comments of a file: the line that begins with `<!-- name:` and `<!-- end of name -->`.
pub fn paste(file: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let old = std::fs::read_to_string(file)?;
    let missing = || std::io::Error::other(format!("{} has no place for {name}", file.display()));
    let begin = old.find(&format!("<!-- {name}:")).ok_or_else(missing)?;
    let begin = begin + old[begin..].find('\n').ok_or_else(missing)? + 1;
    let end = begin
        + old[begin..]
            .find(&format!("<!-- end of {name} -->"))
            .ok_or_else(missing)?;
    std::fs::write(file, format!("{}{text}{}", &old[..begin], &old[end..]))
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The middle of a spread in a record.
pub fn middle(spread: &Value) -> f64 {
    spread["middle"].as_f64().unwrap_or(f64::NAN)
}

fn spread_text(spread: &Value) -> String {
    let part = |name: &str| spread[name].as_f64().unwrap_or(f64::NAN);
    Spread {
        middle: middle(spread),
        low: part("low"),
        high: part("high"),
    }
    .text()
}
