//! Tables of text. Column widths are those that a terminal shows, so cells may be coloured.

use console::{Alignment, measure_text_width, pad_str, strip_ansi_codes, style};

/// Table with headers.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

const GAP: &str = "   ";

impl Table {
    /// Returns an empty table.
    pub(crate) fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the lines to print.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..self.headers.len()).map(|column| self.width(column)).collect();
        let headers = self.headers.iter().map(|header| style(header).dim().to_string()).collect();
        let line = |cells: &Vec<String>| {
            let padded = widths.iter().enumerate().map(|(column, &width)| {
                let cell = cells.get(column).map_or("", String::as_str);
                pad_str(cell, width, Alignment::Left, None).into_owned()
            });
            padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        [headers].iter().chain(&self.rows).map(line).collect()
    }

    /// Returns the table as Markdown, without colours.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let cells = |row: &Vec<String>| {
            let cell = |column| row.get(column).map_or("", String::as_str);
            (0..self.headers.len()).map(|column| strip_ansi_codes(cell(column)).replace('|', "\\|")).collect()
        };
        let headers = self.headers.iter().map(|header| (*header).to_owned()).collect();
        let rule = format!("|{}", "---|".repeat(self.headers.len()));
        let rows = self.rows.iter().map(|row| line(cells(row)));
        [line(headers), rule].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        for line in self.lines() {
            println!("   {line}");
        }
    }

    /// Returns the displayed width of a column.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let header = self.headers.get(column).map_or(0, |header| measure_text_width(header));
        cells.map(|cell| measure_text_width(cell)).fold(header, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_width_ignores_colour_codes() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["\u{1b}[32mgreen\u{1b}[0m".to_owned(), "x".to_owned()]);
        table.row(["y".to_owned(), "z".to_owned()]);
        let lines: Vec<_> = table.lines().iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
        assert_eq!(lines, ["A       B", "green   x", "y       z"]);
    }

    #[test]
    fn markdown_has_no_colours_and_escapes_bars() {
        let mut table = Table::new(&["", "B"]);
        table.row(["\u{1b}[32mgreen\u{1b}[0m".to_owned(), "x|y".to_owned()]);
        table.row(["z".to_owned()]);
        assert_eq!(table.markdown(), "|  | B |\n|---|---|\n| green | x\\|y |\n| z |  |");
    }
}
