//! Numbers and tables as people read them.

/// Rows as aligned columns under `heads`; the last column is not padded.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number of bytes as people read it: powers of 1024, three figures.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let rows = vec![vec!["a".into(), "yes".into()], vec!["longer".into(), String::new()]];
        assert_eq!(table(&["NAME", "X"], &rows), "NAME    X\na       yes\nlonger\n");
    }

    #[test]
    fn bytes_have_three_figures() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (5 << 20, "5.00 MiB"), (117 << 20, "117 MiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
