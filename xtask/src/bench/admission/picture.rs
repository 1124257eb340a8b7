//! Picture of the latencies.

use plotters::prelude::*;

use super::{load::quantile, rounds::Measures, servers::ServerKind};
use crate::bench::{
    chart::{self, Area, COLOURS},
    page::PageError,
};

/// Points of a line. The horizontal axis is logarithmic in the share of slower reviews: 0 is 0 %, 3 is 99.9 %.
const POINTS: u32 = 300;
const NINES: f64 = 3.0;

/// Draws the latency that each share of the reviews does not exceed, a line for each server.
pub(super) fn latencies(measures: &Measures) -> Result<String, PageError> {
    chart::svg(|area| draw(measures, area))
}

fn draw(measures: &Measures, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<(ServerKind, Vec<(f64, f64)>)> =
        measures.latencies.iter().map(|(kind, latencies)| (*kind, line(latencies))).collect();
    let most = lines.iter().flat_map(|(_, line)| line).map(|(_, latency)| *latency).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .set_label_area_size(LabelAreaPosition::Left, 60)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d(0.0..NINES, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_labels(4)
        .x_label_formatter(&|nines| format!("{} %", 100.0 - 100.0 * 10f64.powf(-nines)))
        .x_desc("share of reviews")
        .y_desc("latency from the scheduled time, in ms")
        .draw()?;
    for ((kind, line), colour) in lines.into_iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(kind.name())
            .legend(chart::sign(colour));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(BLACK).draw()?;
    Ok(())
}

fn line(latencies: &[u32]) -> Vec<(f64, f64)> {
    let point = |number: u32| {
        let nines = NINES * f64::from(number) / f64::from(POINTS);
        (nines, quantile(latencies, 1.0 - 10f64.powf(-nines)))
    };
    (0..=POINTS).map(point).collect()
}
