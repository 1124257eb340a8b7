//! Picture of the latencies.

use plotters::prelude::*;

use super::{load::quantile, rounds::Measures, servers::ServerKind};
use crate::bench::page::PageError;

const SIZE: (u32, u32) = (800, 450);
/// Points of a line. The horizontal axis is logarithmic in the share of slower reviews: 0 is 0 %, 3 is 99.9 %.
const POINTS: u32 = 300;
const NINES: f64 = 3.0;

/// Draws the latency that each share of the reviews does not exceed, a line for each server.
pub(super) fn latencies(measures: &Measures) -> Result<String, PageError> {
    let mut svg = String::new();
    draw(measures, &mut svg).map_err(|error| PageError::Draw(error.to_string()))?;
    Ok(svg)
}

fn draw(measures: &Measures, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<(ServerKind, Vec<(f64, f64)>)> =
        measures.latencies.iter().map(|(kind, latencies)| (*kind, line(latencies))).collect();
    let most = lines.iter().flat_map(|(_, line)| line).map(|(_, latency)| *latency).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .set_label_area_size(LabelAreaPosition::Left, 60)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d(0.0..NINES, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .x_labels(4)
        .x_label_formatter(&|nines| format!("{} %", 100.0 - 100.0 * 10f64.powf(-nines)))
        .x_desc("share of reviews")
        .y_desc("latency from the scheduled time, in ms")
        .draw()?;
    for (kind, line) in lines {
        let color = color(kind);
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(kind.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

fn line(latencies: &[u32]) -> Vec<(f64, f64)> {
    let point = |number: u32| {
        let nines = NINES * f64::from(number) / f64::from(POINTS);
        (nines, quantile(latencies, 1.0 - 10f64.powf(-nines)))
    };
    (0..=POINTS).map(point).collect()
}

/// Colours that people with colour blindness can distinguish.
fn color(kind: ServerKind) -> RGBColor {
    match kind {
        ServerKind::Ours => RGBColor(0, 114, 178),
        ServerKind::Floor => RGBColor(120, 120, 120),
        ServerKind::Go => RGBColor(213, 94, 0),
    }
}
