//! Pictures of the page, as SVG: the ground, the colours and the legend that they have in common.

use std::error::Error;

use plotters::{coord::Shift, prelude::*};

use super::page::PageError;

/// Ground of a picture.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Colours of the lines, which people with colour blindness can distinguish.
pub(super) const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 86, 86),
];

/// Width and height in pixels.
const SIZE: (u32, u32) = (800, 420);

/// Draws a picture on a white ground.
pub(super) fn svg(draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>) -> Result<String, PageError> {
    let mut svg = String::new();
    on_white(&mut svg, draw).map_err(|error| PageError::Draw(error.to_string()))?;
    Ok(svg)
}

fn on_white(
    svg: &mut String,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    area.present()?;
    Ok(())
}

/// Returns the sign of a line in the legend, at its place.
pub(super) fn sign(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
}
