//! What a study found: numbers, tables, figures as data, and the paper's claims beside them.

use crate::study::claims::{Claim, Test};
use serde::Serialize;
use serde_json::{Map, Value};

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A number, or none.
    Real(Option<f64>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}
impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}
impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}
impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Real(Some(value))
    }
}
impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        Self::Real(value)
    }
}

/// A table: a CSV file, and a part of the page where it is short.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Stem of the file.
    pub name: String,
    /// What it lists.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// One cell a column.
    pub rows: Vec<Vec<Cell>>,
    /// Whether the page shows it.
    pub on_page: bool,
}

impl Table {
    /// An empty table that the page shows.
    pub fn new(name: &str, title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { name: name.to_owned(), title: title.to_owned(), columns, rows: Vec::new(), on_page: true }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it does not have one cell a column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has one cell a column");
        self.rows.push(cells);
    }
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// A mark at each point.
    Marks,
    /// A line through the points.
    Line,
    /// A dashed line through the points.
    Dashes,
    /// A vertical line at each point, over the whole panel.
    Rule,
}

/// Points of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend; none if empty.
    pub name: String,
    /// `(x, y)`; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// How they are drawn.
    pub style: Style,
    /// Which colour and mark.
    pub colour: usize,
}

/// An axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Whether it is logarithmic.
    pub log: bool,
    /// Names of the places 1, 2, ... of an axis without numbers.
    pub names: Vec<String>,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false, names: Vec::new() }
    }

    /// A logarithmic axis.
    pub fn log(label: &str) -> Self {
        Self { label: label.to_owned(), log: true, names: Vec::new() }
    }

    /// An axis of named places.
    pub fn named(names: Vec<String>) -> Self {
        Self { label: String::new(), log: false, names }
    }
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Title.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What is drawn, from back to front.
    pub series: Vec<Series>,
}

/// Plots side by side, with one legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Stem of the files.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub caption: String,
    /// Panels, row by row.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
}

/// All a study found. As JSON it is the settings, the claims and `data`, side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Registry name of the study.
    pub study: String,
    /// Version of the program.
    pub version: String,
    /// What was trained on what, in a sentence.
    pub setting: String,
    /// Seeds of the networks.
    pub seeds: Vec<u64>,
    /// The paper's claims.
    pub claims: Vec<Claim>,
    /// What a reader must know besides.
    pub notes: Vec<String>,
    /// The numbers.
    #[serde(flatten)]
    pub data: Map<String, Value>,
    /// Tables.
    #[serde(skip)]
    pub tables: Vec<Table>,
    /// Figures.
    #[serde(skip)]
    pub figures: Vec<Figure>,
}

impl Findings {
    /// Nothing yet.
    pub fn new(study: &str, setting: String, seeds: &[u64]) -> Self {
        Self {
            study: study.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            setting,
            seeds: seeds.to_vec(),
            claims: Vec::new(),
            notes: Vec::new(),
            data: Map::new(),
            tables: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Adds numbers under a name.
    ///
    /// # Panics
    /// If they do not serialise.
    pub fn record(&mut self, name: &str, value: impl Serialize) {
        self.data.insert(name.to_owned(), serde_json::to_value(value).expect("numbers serialise"));
    }

    /// Adds a claim, which holds if all of its tests do, with what was found in a sentence.
    pub fn claim(&mut self, claim: &str, tests: Vec<Test>, found: String) {
        self.claims.push(Claim::new(claim, tests, found));
    }
}

/// A number as JSON; `null` for none, `"-inf"` for an impossible function.
pub fn real(value: Option<f64>) -> Value {
    struct Real(Option<f64>);
    impl Serialize for Real {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            crate::numeric::serialize_optional_real(&self.0, serializer)
        }
    }
    serde_json::to_value(Real(value)).expect("a number serialises")
}
