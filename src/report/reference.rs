//! What is known of each measure, method and law, for the terminal and for `docs/`.
//!
//! The text stands beside the code it speaks of (`description` of a measure or method, the methods of a law). Tests compare
//! the pages of `docs/` with what is written here.

use crate::description::{OptionEntry, Reference};
use crate::flatness::{self, LOSSES, Measure, Response};
use crate::gate;
use crate::prior::{self, Exactness, LogProbMethod};
use serde::Serialize;
use serde_json::{Value, json};

/// A measure or a method with everything that is said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Described {
    /// Registry name.
    pub id: &'static str,
    /// What it is in one line.
    pub summary: &'static str,
    /// The definition.
    pub formula: &'static str,
    /// Its symbols and peculiarities.
    pub notes: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// How it responds to rescalings, or what its number is; name and value.
    pub properties: Vec<(&'static str, String)>,
    /// The losses, for measures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<&'static str>,
    /// The options it reads.
    pub options: Vec<OptionEntry>,
    /// What it costs.
    pub cost: &'static str,
    /// When it gives no number.
    pub refuses: &'static str,
    /// What it is good for.
    pub use_for: &'static str,
    /// What it is not good for.
    pub not_for: &'static str,
    /// Where it comes from.
    pub sources: Vec<Reference>,
    /// The keys of a request of `flatgauge check` that name it and its options.
    pub request: Value,
}

/// What is said of a measure; `None` if it has no description.
pub fn measure(measure: &dyn Measure) -> Option<Described> {
    let description = measure.description()?;
    let entries: Vec<OptionEntry> =
        description.options.iter().filter_map(|name| flatness::options::describe(name)).collect();
    let options: serde_json::Map<String, Value> =
        entries.iter().map(|entry| (entry.name.to_owned(), entry.default.clone())).collect();
    let word = |response: Response| {
        match response {
            Response::Changes => "changes",
            Response::Invariant => "stays",
            Response::Statistical => "stays in distribution",
        }
        .to_owned()
    };
    let responses = measure.responses();
    Some(Described {
        id: measure.id(),
        summary: measure.summary(),
        formula: description.formula,
        notes: description.notes,
        unit: description.unit,
        properties: vec![
            ("layer scaling", word(responses.layer_scaling)),
            ("neuron scaling", word(responses.neuron_scaling)),
            ("permutation", word(responses.permutation)),
        ],
        losses: LOSSES.to_vec(),
        options: entries,
        cost: description.cost,
        refuses: description.refuses,
        use_for: description.use_for,
        not_for: description.not_for,
        sources: description.sources.to_vec(),
        request: json!({"kind": "flatness", "measure": measure.id(), "options": options}),
    })
}

/// What is said of a method; `None` if it has no description.
pub fn method(method: &dyn LogProbMethod) -> Option<Described> {
    let description = method.description()?;
    let links: Vec<String> = method.links().iter().map(ToString::to_string).collect();
    let number = match method.exactness() {
        Exactness::Exact => "the true value to rounding",
        Exactness::Unbiased => "the true value with a standard error",
        Exactness::Approximate => "a definite number, not the true value",
    };
    let asked = if method.exactness() == Exactness::Approximate { method.id() } else { "any" };
    Some(Described {
        id: method.id(),
        summary: method.summary(),
        formula: description.formula,
        notes: description.notes,
        unit: description.unit,
        properties: vec![("number", number.to_owned()), ("links", links.join(", "))],
        losses: Vec::new(),
        options: description.options.iter().filter_map(|name| prior::options::describe(name, method.links())).collect(),
        cost: description.cost,
        refuses: description.refuses,
        use_for: description.use_for,
        not_for: description.not_for,
        sources: description.sources.to_vec(),
        request: json!({"kind": "prior", "method": asked, "link": links.first()}),
    })
}

impl Described {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n  {}\n\n{}\n\n", self.id, self.summary, self.formula, self.notes);
        let mut line = |name: &str, value: &str| text += &format!("{name:<16}{value}\n");
        line("unit", self.unit);
        for (name, value) in &self.properties {
            line(name, value);
        }
        for (index, loss) in self.losses.iter().enumerate() {
            line(if index == 0 { "losses" } else { "" }, loss);
        }
        if self.options.is_empty() {
            line("options", "none");
        }
        for (index, option) in self.options.iter().enumerate() {
            line(if index == 0 { "options" } else { "" }, &shown(option));
        }
        line("cost", self.cost);
        line("use for", self.use_for);
        line("not for", self.not_for);
        line("refuses", self.refuses);
        for (index, source) in self.sources.iter().enumerate() {
            line(if index == 0 { "source" } else { "" }, &source.to_string());
        }
        line("request", &format!("{} (docs/protocol.md)", self.request));
        text
    }

    /// A section of a page of `docs/`.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("### `{}`\n\n{}.\n\n```text\n{}\n```\n\n", self.id, capitalised(self.summary), self.formula);
        text += &format!("{}\n\n", self.notes);
        let mut item = |name: &str, value: &str| text += &format!("- **{name}**: {value}\n");
        item("unit", self.unit);
        let properties: Vec<String> = self.properties.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        item(if self.losses.is_empty() { "what it is" } else { "responds" }, &properties.join("; "));
        let options: Vec<String> = self.options.iter().map(shown).collect();
        item("options", &if options.is_empty() { "none".to_owned() } else { options.join("; ") });
        item("cost", self.cost);
        item("refuses", self.refuses);
        if !self.sources.is_empty() {
            item("source", &linked(&self.sources));
        }
        text
    }
}

/// An option with its default and what it accepts.
fn shown(option: &OptionEntry) -> String {
    let default = match &option.default {
        Value::Null => "none".to_owned(),
        Value::String(word) => word.clone(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    format!("`{}` = {default} ({})", option.name, option.accepts)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// References as Markdown, each with a link where it has an address.
fn linked(sources: &[Reference]) -> String {
    let one = |source: &Reference| {
        let Reference { authors, year, title, locator } = source;
        match source.address() {
            Some(address) => format!("{authors} {year}, *{title}*, [{locator}]({address})"),
            None => format!("{authors} {year}, *{title}*, {locator}"),
        }
    };
    sources.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A table of Markdown.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = line(&header) + &format!("|{}\n", "---|".repeat(header.len()));
    rows.for_each(|row| text += &line(&row));
    text
}

/// `docs/measures.md`.
pub fn measures_page() -> String {
    let all: Vec<Described> = flatness::registry().iter().filter_map(|m| measure(*m)).collect();
    let mut text = String::from(
        "# Measures of flatness\n\nWritten by `flatgauge list measures --format markdown`; a test compares. \
         `flatgauge list measures --describe ID` shows one of them.\n\n\
         L is the loss on the data, theta the parameters, H the Hessian of L, G its Gauss-Newton matrix. A product is H (or G) \
         times one vector. All losses are means over samples:\n\n",
    );
    LOSSES.iter().for_each(|loss| text += &format!("- {loss}\n"));
    text += "\nSo for mse with k outputs every measure in units of the loss is k times what PyTorch's `MSELoss` gives. \
             \"Units of the loss\" leaves out the unit of the parameters, which have none here.\n\n\
             A measure that changes under rescaling says as much about the parametrisation as about the function: compare it only \
             between networks trained the same way, or use one that stays under both. Layer scaling divides one layer by alpha and \
             multiplies the next; neuron scaling does so unit by unit, each with a factor of its own. `flatgauge rescale` makes \
             twins to try it on.\n\n";
    text += &table(
        &["measure", "under layer scaling", "under neuron scaling", "use it for", "not for", "cost"],
        all.iter().map(|entry| {
            let [layer, neuron] = [0, 1].map(|index| entry.properties[index].1.as_str());
            let cells = [layer, neuron, entry.use_for, entry.not_for, entry.cost];
            std::iter::once(format!("[`{0}`](#{0})", entry.id)).chain(cells.map(str::to_owned)).collect()
        }),
    );
    all.iter().for_each(|entry| text += &format!("\n{}", entry.markdown()));
    text
}

/// The generated part of `docs/methods.md`.
pub fn methods_page() -> String {
    let all: Vec<Described> = prior::registry().iter().filter_map(|m| method(*m)).collect();
    let mut text = table(
        &["method", "what its number is", "use it for", "not for", "cost"],
        all.iter().map(|entry| {
            let cells = [entry.properties[0].1.as_str(), entry.use_for, entry.not_for, entry.cost];
            std::iter::once(format!("[`{0}`](#{0})", entry.id)).chain(cells.map(str::to_owned)).collect()
        }),
    );
    all.iter().for_each(|entry| text += &format!("\n{}", entry.markdown()));
    text
}

/// A law with everything that is said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DescribedLaw {
    /// Registry name.
    pub id: &'static str,
    /// The law in one sentence.
    pub summary: &'static str,
    /// The law as a formula.
    pub formula: &'static str,
    /// By how much an answer may be off.
    pub tolerance: String,
    /// On which cases it holds.
    pub scope: String,
    /// Errors that it catches.
    pub catches: &'static str,
    /// Where it comes from.
    pub sources: Vec<Reference>,
}

/// What is said of every law.
pub fn laws() -> Vec<DescribedLaw> {
    let described = |law: &&dyn gate::Law| DescribedLaw {
        id: law.id(),
        summary: law.statement(),
        formula: law.formula(),
        tolerance: law.tolerance(),
        scope: law.scope().to_string(),
        catches: law.catches(),
        sources: law.sources().to_vec(),
    };
    gate::registry().iter().map(described).collect()
}

impl DescribedLaw {
    /// For a terminal.
    pub fn text(&self) -> String {
        let sources: Vec<String> = self.sources.iter().map(ToString::to_string).collect();
        let mut text = format!("{}: {}\n\n  {}\n\n", self.id, self.summary, self.formula);
        text += &format!("tolerance       {}\nholds on        {}\n", self.tolerance, self.scope);
        text += &format!("catches         {}\nsource          ", self.catches);
        text + &if sources.is_empty() { self.origin() } else { sources.join("\n                ") } + "\n"
    }

    /// Where a law without publications comes from.
    fn origin(&self) -> String {
        if self.id.starts_with("certified.") { "the certified values of golden/" } else { "the definition" }.to_owned()
    }

    /// A section of `docs/laws.md`.
    pub fn markdown(&self) -> String {
        let Self { id, summary, formula, tolerance, scope, catches, sources } = self;
        let sources = if sources.is_empty() { self.origin() } else { linked(sources) };
        format!(
            "\n### `{id}`\n\n{}.\n\n```text\n{formula}\n```\n\n- **tolerance**: {tolerance}\n- **holds on**: {scope}\n\
             - **catches**: {catches}\n- **source**: {sources}\n",
            capitalised(summary)
        )
    }
}

/// `docs/laws.md`.
pub fn laws_page() -> String {
    let all = laws();
    let mut text = String::from(
        "# The laws\n\nWritten by `flatgauge list laws --format markdown`; a test compares. A law is a sentence that every right \
         estimator obeys, with a tolerance that is derived (`src/numeric/tolerance.rs`). What each catches is tried: \
         `tests/faulty/README.md` lists estimators with one error each and the law that finds it.\n\n\
         Random answers are compared at their own standard errors; where these are so large that an error of twice the \
         value would pass, nothing is decided, and an estimator of which nothing was decided does not pass.\n\n",
    );
    text += &table(
        &["law", "statement"],
        all.iter().map(|law| {
            let anchor = law.id.replace('.', "");
            vec![format!("[`{}`](#{anchor})", law.id), law.summary.replace('|', "\\|")]
        }),
    );
    all.iter().for_each(|law| text += &law.markdown());
    text
}
