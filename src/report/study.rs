//! Findings of a study as a folder: `results.json`, a CSV file per table, SVG and PNG of each figure, and one page that says in
//! words what was found.

use super::ReportError;
use super::escape::escaped;
use super::figure::{png, svg};
use super::table::number;
use crate::io::write_atomically;
use crate::study::{Cell, Findings, Table, Verdict};
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

const STYLE: &str = include_str!("style.css");
/// Rows of a table that the page shows; the CSV file has all.
const PAGE_ROWS: usize = 120;

/// What `results.json` holds: the findings and, as `reproduce`, the line that finds them again.
pub fn document(findings: &Findings, reproduce: &str) -> Value {
    let mut document = serde_json::to_value(findings).expect("results serialise");
    document["reproduce"] = reproduce.into();
    document
}

/// Writes all files into `folder`, which is made if it is missing; each file appears whole or not at all, the page and
/// the results last. `summary` and `source` are the study's, `reproduce` the line that runs it again.
///
/// # Errors
/// [`ReportError`], which names the path or the figure.
pub fn write(
    folder: &Path,
    findings: &Findings,
    summary: &str,
    source: &str,
    reproduce: &str,
) -> Result<(), ReportError> {
    std::fs::create_dir_all(folder).map_err(ReportError::at(folder))?;
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write_atomically(&path, bytes).map_err(ReportError::at(&path))
    };
    let mut drawn = Vec::new();
    for figure in &findings.figures {
        let text = svg(figure)?;
        put(&format!("{}.svg", figure.name), text.as_bytes())?;
        put(&format!("{}.png", figure.name), &png(figure)?)?;
        drawn.push(text);
    }
    for table in &findings.tables {
        put(&format!("{}.csv", table.name), csv(table).as_bytes())?;
    }
    put("index.html", page(findings, &drawn, summary, source, reproduce).as_bytes())?;
    let json = serde_json::to_string_pretty(&document(findings, reproduce)).expect("results serialise") + "\n";
    put("results.json", json.as_bytes())
}

/// What was found, for a terminal.
pub fn text(findings: &Findings) -> String {
    let mut text = format!("{}: {}\n", findings.study, findings.setting);
    for claim in &findings.claims {
        let _ = write!(text, "\n{}: {}\n  {}\n", claim.verdict.to_string().to_uppercase(), claim.claim, claim.found);
        for test in &claim.tests {
            let _ = writeln!(text, "  - {test}");
        }
    }
    for note in &findings.notes {
        let _ = write!(text, "\nnote: {note}\n");
    }
    text
}

/// RFC 4180, with full precision.
fn csv(table: &Table) -> String {
    let quoted = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut text = table.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(",") + "\n";
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(text) => quoted(text),
            Cell::Count(count) => count.to_string(),
            Cell::Real(value) => value.map_or(String::new(), |value| value.to_string()),
        });
        text += &(cells.collect::<Vec<_>>().join(",") + "\n");
    }
    text
}

fn page(findings: &Findings, drawn: &[String], summary: &str, source: &str, reproduce: &str) -> String {
    let count = |verdict| findings.claims.iter().filter(|claim| claim.verdict == verdict).count();
    let outcome = match (findings.claims.len(), count(Verdict::Holds)) {
        (0, _) => String::new(),
        (all, holds) if all == holds => format!("All {all} claims hold here."),
        (all, holds) => format!(
            "Of {all} claims {holds} hold here, {} fail, {} are undecided.",
            count(Verdict::Fails),
            count(Verdict::Undecided)
        ),
    };
    let title = format!("Study: {}", findings.study);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<link rel=\"icon\" \
         href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main class=\"study\">\n<h1>{title}</h1>\n<p>{}; \
         {}.</p>\n<p>{}.</p>\n<p><b>{outcome}</b></p>\n",
        escaped(&capitalised(summary)),
        escaped(source),
        escaped(&findings.setting)
    );
    for claim in &findings.claims {
        let class = match claim.verdict {
            Verdict::Holds => "pass",
            Verdict::Undecided => "skip",
            Verdict::Fails => "fail",
        };
        let tests: String = claim.tests.iter().map(|test| format!("<li>{}</li>", escaped(&test.to_string()))).collect();
        let _ = write!(
            page,
            "<section class=\"claim {class}\">\n<h2>{}</h2>\n<p><b>{}.</b> {}</p>\n<ul>{tests}</ul>\n</section>\n",
            escaped(&claim.claim),
            capitalised(&claim.verdict.to_string()),
            escaped(&claim.found)
        );
    }
    for (figure, drawing) in findings.figures.iter().zip(drawn) {
        let _ = write!(
            page,
            "<figure class=\"study\" id=\"{}\">\n{drawing}\n<figcaption>{}</figcaption>\n</figure>\n",
            escaped(&figure.name),
            escaped(&figure.caption)
        );
    }
    for table in findings.tables.iter().filter(|table| table.on_page) {
        page += &table_section(table);
    }
    if !findings.notes.is_empty() {
        page += "<section>\n<h2>Notes</h2>\n<ul>\n";
        for note in &findings.notes {
            let _ = writeln!(page, "<li>{}</li>", escaped(note));
        }
        page += "</ul>\n</section>\n";
    }
    let seeds: Vec<String> = findings.seeds.iter().map(u64::to_string).collect();
    let _ = write!(
        page,
        "<section>\n<h2>Reproduce</h2>\n<pre>{}</pre>\n<p>Seeds {}; flatgauge {}. Numbers: results.json",
        escaped(reproduce),
        seeds.join(", "),
        escaped(&findings.version)
    );
    for table in &findings.tables {
        let _ = write!(page, ", {}.csv", escaped(&table.name));
    }
    page + ".</p>\n</section>\n</main>\n</body>\n</html>\n"
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

fn table_section(table: &Table) -> String {
    let mut text = format!(
        "<section>\n<details>\n<summary>{} ({} rows)</summary>\n<div class=\"scroll\"><table>\n<thead><tr>",
        escaped(&table.title),
        table.rows.len()
    );
    for column in &table.columns {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(&column.replace('_', " ")));
    }
    text += "</tr></thead>\n<tbody>\n";
    for row in table.rows.iter().take(PAGE_ROWS) {
        text += "<tr>";
        for cell in row {
            let shown = match cell {
                Cell::Text(text) => escaped(text),
                Cell::Count(count) => count.to_string(),
                Cell::Real(value) => value.map_or("-".to_owned(), number),
            };
            let _ = write!(text, "<td>{shown}</td>");
        }
        text += "</tr>\n";
    }
    text += "</tbody>\n</table></div>\n";
    if table.rows.len() > PAGE_ROWS {
        let _ = writeln!(text, "<p>The rest is in {}.csv.</p>", escaped(&table.name));
    }
    text + "</details>\n</section>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_keeps_every_digit_and_quotes_what_needs_it() {
        let mut table = Table::new("t", "a table", &["name", "value", "count"]);
        table.row(vec!["a,\"b\"".into(), (1.0 / 3.0).into(), 7_usize.into()]);
        table.row(vec!["c".into(), None.into(), 0_usize.into()]);
        assert_eq!(csv(&table), "name,value,count\n\"a,\"\"b\"\"\",0.3333333333333333,7\nc,,0\n");
    }
}
