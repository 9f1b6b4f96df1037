//! Plots of the records, as SVG.

use crate::report::{Records, middle};
use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};

const OURS: RGBColor = RGBColor(0x1b, 0x6a, 0xc9);
const PEERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Draws what there are records for; the files.
pub fn all(records: &Records, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    if let Some(line) = records.named("F4/job/1").next() {
        let path = folder.join("whole_job.svg");
        bars(line, &path)?;
        files.push(path);
    }
    if records.named("growth/").next().is_some() {
        let path = folder.join("growth.svg");
        growth(records, &path)?;
        files.push(path);
    }
    Ok(files)
}

fn canvas(path: &Path, size: (u32, u32)) -> Result<DrawingArea<SVGBackend<'_>, Shift>> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// What each side takes for a value, on a logarithmic axis.
fn bars(line: &Value, path: &Path) -> Result<()> {
    let mut rows: Vec<(String, f64)> = line["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            (
                row["who"].as_str().unwrap_or_default().to_owned(),
                middle(&row["value"]),
            )
        })
        .collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (row_height, left, right, top) = (26, 230, 70, 46);
    let width = 760;
    let height = top + row_height * rows.len() as i32 + 34;
    let area = canvas(path, (width as u32, height as u32))?;
    let ink = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(
        "Whole job: push an int64, batch, handle, result back (1 producer)",
        (12, 10),
        ink(16),
    ))?;
    let most = rows.iter().map(|(_, ns)| *ns).fold(10.0, f64::max);
    let span = f64::from(width - left - right);
    let place = |ns: f64| left + (span * (ns.max(1.0).log10() / most.log10().ceil().max(1.0))) as i32;
    for power in 0..=(most.log10().ceil() as i32) {
        let ns = 10f64.powi(power);
        let x = place(ns);
        area.draw(&PathElement::new(
            [(x, top - 4), (x, height - 28)],
            PEERS.mix(0.5),
        ))?;
        area.draw(&Text::new(format!("{ns} ns"), (x - 12, height - 22), ink(12)))?;
    }
    for (index, (who, ns)) in rows.iter().enumerate() {
        let y = top + row_height * index as i32;
        let color = if who.starts_with("microbatch") {
            OURS
        } else {
            PEERS
        };
        area.draw(&Rectangle::new(
            [(left, y + 3), (place(*ns), y + row_height - 5)],
            color.filled(),
        ))?;
        area.draw(&Text::new(who.as_str(), (12, y + 5), ink(14)))?;
        area.draw(&Text::new(format!("{ns:.1}"), (place(*ns) + 6, y + 5), ink(14)))?;
    }
    area.present()?;
    Ok(())
}

/// Four panels: strings, batches, producers, batchers.
fn growth(records: &Records, path: &Path) -> Result<()> {
    let area = canvas(path, (1000, 700))?;
    let panels = area.split_evenly((2, 2));
    let titles = [
        ("growth/string/", "ns a value by bytes of a string"),
        ("growth/batch/", "ns a value by max_batch_size"),
        ("F12/producers/", "ns a value by producer threads"),
        ("growth/batchers/", "ns a value by manual batchers in turns"),
    ];
    for (panel, (prefix, title)) in panels.iter().zip(titles) {
        let lines = series(records, prefix);
        if !lines.is_empty() {
            curves(panel, title, &lines)?;
        }
    }
    area.present()?;
    Ok(())
}

type Series = (String, Vec<(f64, f64)>);

/// The records whose name ends in a number, as curves of who over that number.
fn series(records: &Records, prefix: &str) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for line in records.named(prefix) {
        let x = line["id"]
            .as_str()
            .and_then(|id| id.rsplit('/').next()?.parse::<f64>().ok());
        let Some(x) = x else { continue };
        for row in line["rows"].as_array().into_iter().flatten() {
            let who = row["who"].as_str().unwrap_or_default();
            let point = (x.max(1.0), middle(&row["value"]));
            match all.iter_mut().find(|(name, _)| name == who) {
                Some((_, points)) => points.push(point),
                None => all.push((who.to_owned(), vec![point])),
            }
        }
    }
    for (_, points) in &mut all {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    all
}

fn curves(panel: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, lines: &[Series]) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max);
    let least = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(24)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (1.0..most(|point| point.0) * 1.3).log_scale(),
            (least / 1.5..most(|point| point.1) * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(6)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .bold_line_style(PEERS.mix(0.3))
        .label_style(("sans-serif", 12))
        .draw()?;
    // Where the curves are not.
    let falls = |points: &[(f64, f64)]| {
        points
            .first()
            .zip(points.last())
            .is_some_and(|(first, last)| first.1 > last.1)
    };
    let legend = if lines.iter().any(|(_, points)| falls(points)) {
        SeriesLabelPosition::UpperRight
    } else {
        SeriesLabelPosition::UpperLeft
    };
    let others = [PEERS, RGBColor(0xd0, 0x7a, 0x2d), RGBColor(0x4f, 0x9d, 0x69)];
    let mut next = others.iter().cycle();
    for (index, (who, points)) in lines.iter().enumerate() {
        let color = if index == 0 {
            OURS
        } else {
            *next.next().unwrap_or(&PEERS)
        };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(who.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}
