//! Tables on stdout, in columns as wide as their longest cell.

use super::json;
use super::screen::stdout_width;

/// The margin of a last cell that has a line of its own.
const MARGIN: &str = "    ";

/// Prints a table; nothing if it has no rows.
pub(super) fn print<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) {
    json::print_lines(lines(head, rows, stdout_width()));
}

/// The lines of a table. In a terminal that is too narrow for a line, its last cell comes on the next one.
fn lines<const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    terminal: Option<usize>,
) -> impl Iterator<Item = String> {
    let head = (!rows.is_empty()).then(|| head.map(str::to_owned));
    let rows: Vec<_> = head.into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    rows.into_iter().map(move |row| {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = padded.join("  ").trim_end().to_owned();
        match (padded.split_last(), row.last()) {
            (Some((_, others)), Some(last)) if terminal.is_some_and(|columns| line.chars().count() > columns) => {
                format!("{}\n{MARGIN}{last}", others.join("  ").trim_end())
            }
            _ => line,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_for_the_terminal_is_broken_before_its_last_cell() {
        let table = |terminal| {
            let rows = [["invoices", "model", "of all suppliers"], ["a", "model", ""]];
            let rows = rows.map(|row| row.map(str::to_owned)).to_vec();
            lines(["ID", "KIND", "DESCRIPTION"], rows, terminal).collect::<Vec<_>>()
        };
        let wide = ["ID        KIND   DESCRIPTION", "invoices  model  of all suppliers", "a         model"];
        assert_eq!(table(None), wide);
        assert_eq!(table(Some(33)), wide);
        assert_eq!(table(Some(32)), [wide[0], "invoices  model\n    of all suppliers", wide[2]]);
    }
}
