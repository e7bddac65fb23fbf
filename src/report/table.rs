//! Plain text tables with aligned columns.

/// A table: a header and rows of equally many cells.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: AsRef<str>>(header: &[S]) -> Self {
        Self { rows: vec![header.iter().map(|cell| cell.as_ref().to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "a row has as many cells as the header");
        self.rows.push(cells);
    }

    /// Columns padded to their widest cell: the first `left` ones to the left, the others to the right.
    pub fn render(&self, left: usize) -> String {
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                line += &if column < left { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A number for people: six significant digits, scientific where that is shorter.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let exponent = value.abs().log10().floor();
    if (-4.0..6.0).contains(&exponent) {
        let decimals = (5.0 - exponent).max(0.0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.5e}")
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_keep_six_digits() {
        assert_eq!(number(8.310889246), "8.31089");
        assert_eq!(number(-123456.789), "-123457");
        assert_eq!(number(1e-7), "1.00000e-7");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(f64::NEG_INFINITY), "-inf");
    }
}
