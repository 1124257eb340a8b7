//! Picture of memory against size.

use plotters::prelude::*;

use super::super::{
    chart::{self, Area, COLOURS},
    page::{PageError, Picture},
};

const TITLE: &str = "Anonymous memory of the manager against the size of the cluster";

/// Line with its name: sizes, and memory in MB.
pub(super) type Line = (String, Vec<(f64, f64)>);

/// Draws a line for each kind of object. Sizes have a logarithmic scale, on which 0 is drawn as 1.
pub(super) fn memory(lines: &[Line]) -> Result<Picture, PageError> {
    Ok(Picture { name: "memory", title: TITLE.to_owned(), svg: chart::svg(|area| draw(lines, area))? })
}

fn draw(lines: &[Line], area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let largest = points().map(|(size, _)| *size).fold(10.0, f64::max);
    let most = points().map(|(_, memory)| *memory).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(TITLE, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..largest).log_scale(), 0.0..most * 1.1)?;
    chart.configure_mesh().max_light_lines(0).x_desc("number of objects").y_desc("MB").draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let points = || points.iter().map(|(size, memory)| (size.max(1.0), *memory));
        let line = chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
        line.label(name).legend(chart::sign(colour));
        chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_names_each_line() {
        let lines = [("streams".to_owned(), vec![(0.0, 2.0), (1000.0, 3.5)]), ("nodes".to_owned(), vec![(3.0, 2.0)])];
        let picture = memory(&lines).unwrap();
        for text in ["<svg", "streams", "nodes", "MB", TITLE] {
            assert!(picture.svg.contains(text), "{text}");
        }
    }
}
