//! Tables on stdout, in columns as wide as their longest cell.

/// The lines of a table; none if it has no rows.
pub(super) fn lines<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> impl Iterator<Item = String> {
    let head = (!rows.is_empty()).then(|| head.map(str::to_owned));
    let rows: Vec<_> = head.into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    rows.into_iter().map(move |row| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    })
}
