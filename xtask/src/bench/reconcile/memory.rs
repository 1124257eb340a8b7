//! Memory of the manager over time, with its picture.

use std::{pin::pin, time::Duration};

use nats_manager_harness::{ManagerProcess, ResidentMemory};
use plotters::prelude::*;
use tokio::time::{MissedTickBehavior, interval};

use super::super::{
    chart::{self, Area, COLOURS},
    measure::megabytes,
    page::{PageError, Picture},
};

const EVERY: Duration = Duration::from_millis(20);
const TITLE: &str = "Memory of the manager: creation of three servers, and a rollout under 1,000 reviews per second";
/// The lines of the picture.
const LINES: [(&str, Part); 2] =
    [("resident", |memory| memory.total), ("anonymous: heap and stacks", |memory| memory.anonymous)];

/// Part of the memory, in KiB.
type Part = fn(&ResidentMemory) -> u32;

/// Memory at a time since the start of the process.
pub(super) type Sample = (Duration, ResidentMemory);

/// Name of what begins at a time since the start of the process.
pub(super) type Phase = (&'static str, Duration);

/// Memory of a manager over time.
pub(super) struct MemoryCourse {
    pub(super) samples: Vec<Sample>,
    pub(super) phases: Vec<Phase>,
}

/// Samples the memory of a manager until the work has ended. There are no samples where there is no `/proc`.
pub(super) async fn during<T>(manager: &ManagerProcess, work: impl Future<Output = T>) -> (T, Vec<Sample>) {
    let (mut work, mut samples) = (pin!(work), Vec::new());
    let mut ticker = interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            result = &mut work => return (result, samples),
            _ = ticker.tick() => samples.extend(manager.memory().map(|memory| (manager.started().elapsed(), memory))),
        }
    }
}

impl MemoryCourse {
    /// Draws resident and anonymous memory, with a line where each phase begins.
    pub(super) fn picture(&self) -> Result<Picture, PageError> {
        Ok(Picture { name: "memory", title: TITLE.to_owned(), svg: chart::svg(|area| self.draw(area))? })
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let end = self.samples.last().map_or(1.0, |(at, _)| at.as_secs_f64());
        let most = self.samples.iter().map(|(_, memory)| megabytes(memory.total)).fold(1.0, f64::max) * 1.25;
        let mut chart = ChartBuilder::on(area)
            .caption(TITLE, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end, 0.0..most)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_desc("seconds since the start of the manager")
            .y_desc("MB")
            .draw()?;
        for (number, (name, at)) in self.phases.iter().enumerate() {
            let at = at.as_secs_f64();
            chart.draw_series(LineSeries::new([(at, 0.0), (at, most)], BLACK.mix(0.4)))?;
            // Names of phases that begin shortly after each other do not cover each other.
            let height = if number % 2 == 0 { 0.99 } else { 0.93 };
            chart.draw_series([Text::new(format!(" {name}"), (at, most * height), ("sans-serif", 12))])?;
        }
        for ((name, of), colour) in LINES.into_iter().zip(COLOURS) {
            let points = self.samples.iter().map(|(at, memory)| (at.as_secs_f64(), megabytes(of(memory))));
            let line = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            line.label(name).legend(chart::sign(colour));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::MiddleRight).background_style(WHITE).border_style(BLACK).draw()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_names_lines_and_phases() {
        let sample = |second, total| {
            let memory = ResidentMemory { total, anonymous: 3 << 10, files: total - (3 << 10), peak: total };
            (Duration::from_secs(second), memory)
        };
        let samples = vec![sample(0, 12 << 10), sample(4, 14 << 10)];
        let phases = vec![("create", Duration::from_secs(1)), ("rollout", Duration::from_secs(2))];
        let picture = MemoryCourse { samples, phases }.picture().unwrap();
        for text in ["<svg", "resident", "anonymous", "create", "rollout", "MB", TITLE] {
            assert!(picture.svg.contains(text), "{text}");
        }
    }
}
