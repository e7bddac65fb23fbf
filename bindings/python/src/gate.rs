//! The gate in process: checks of one estimator, one by one.

use crate::errors::unusable;
use crate::interrupt::interruptible;
use crate::numbers::{kind, link};
use crate::subject::{Callable, PyKernel, PyMeasure, PyMethod};
use flatgauge::flatness::{self, Measure};
use flatgauge::gate::{
    self, Cause, Check, Context, Corpus, Counterexample, Finding, Law, Outcome, Report, Scope, Tier, Verdict,
};
use flatgauge::kernel::Kind;
use flatgauge::numeric::Dtype;
use flatgauge::prior::{self, Exactness, Link};
use flatgauge::report;
use pyo3::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Case of the check that a law was verified at all.
const ALL: &str = "all";

/// What one item of a gate is.
enum Item {
    /// A check of the corpus or of certified values.
    Check(usize),
    /// A generated case.
    Generated,
    /// Whether the law was verified on any case.
    Verified,
}

/// The outcomes and counterexamples of a law's generated cases.
type OfGenerated = (Vec<Outcome>, Vec<Counterexample>);

/// An estimator, and the checks it owes.
///
/// The estimator and its callable live as long as the process: checks borrow them, and a session of tests has as many as
/// it has parametrised functions.
#[pyclass(frozen, module = "flatgauge._flatgauge")]
pub struct Gate {
    callable: &'static Callable,
    context: Context<'static>,
    checks: Vec<(&'static dyn Law, Check<'static>)>,
    items: Vec<(String, String, String, Item)>,
    cases: usize,
    reproduce: String,
    outcomes: Mutex<HashMap<usize, Outcome>>,
    generated: Arc<Mutex<HashMap<(String, String), OfGenerated>>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn tier(name: &str) -> PyResult<Tier> {
    match name {
        "quick" => Ok(Tier::Quick),
        "full" => Ok(Tier::Full),
        other => Err(unusable(format!("'{other}' is no tier, expected quick or full"))),
    }
}

fn dtype(name: &str) -> PyResult<Dtype> {
    match name {
        "float64" => Ok(Dtype::Float64),
        "float32" => Ok(Dtype::Float32),
        other => Err(unusable(format!("'{other}' is no dtype of the laws, expected float64 or float32"))),
    }
}

fn exactness(name: &str) -> PyResult<Exactness> {
    match name {
        "exact" => Ok(Exactness::Exact),
        "unbiased" => Ok(Exactness::Unbiased),
        "approximate" => Ok(Exactness::Approximate),
        other => Err(unusable(format!("a method cannot be '{other}', expected exact, unbiased or approximate"))),
    }
}

/// A context of one estimator.
fn context(
    subject: &str,
    id: &str,
    callable: &'static Callable,
    claims: (Option<&str>, Option<Vec<String>>),
    dtype: Dtype,
    tier: Tier,
    seed: u64,
) -> PyResult<Context<'static>> {
    let (exact, offered) = claims;
    let new = |measures, methods| Context::new(measures, methods, false, tier, seed);
    match subject {
        "measure" => {
            let known = || flatness::registry().iter().map(|measure| measure.id()).collect::<Vec<_>>().join(", ");
            let definition = flatness::find(id)
                .ok_or_else(|| unusable(format!("there is no measure '{id}', expected one of {}", known())))?;
            Ok(new(vec![leaked(PyMeasure { definition, dtype, callable }) as &dyn Measure], Vec::new()))
        }
        "method" if dtype != Dtype::Float64 => Err(unusable(format!(
            "methods of log P(f) are held to float64, not to {dtype}: digits that it does not have decide whether labels are \
             possible under nearly singular Gram matrices"
        ))),
        "method" => {
            let registered = prior::find(id);
            let exactness = match (exact, registered) {
                (Some(name), _) => exactness(name)?,
                (None, Some(method)) => method.exactness(),
                (None, None) => {
                    return Err(unusable(format!(
                        "'{id}' is no method of the registry: say what it is by exactness=, one of exact, unbiased and \
                         approximate"
                    )));
                }
            };
            let links: &'static [Link] = match (offered, registered) {
                (Some(names), _) => {
                    leaked(names.iter().map(|name| link(name)).collect::<PyResult<Vec<_>>>()?).as_slice()
                }
                (None, Some(method)) => method.links(),
                (None, None) => &[Link::Step],
            };
            let id = registered.map_or_else(|| leaked(id.to_owned()).as_str(), |method| method.id());
            let method = leaked(PyMethod { id, links, exactness, callable });
            Ok(new(Vec::new(), vec![method as &dyn prior::LogProbMethod]))
        }
        "kernel" => {
            let kinds: &'static [Kind] = match offered {
                Some(names) => leaked(names.iter().map(|name| kind(name)).collect::<PyResult<Vec<_>>>()?).as_slice(),
                None => &[Kind::Nngp],
            };
            let method = leaked(PyKernel { id: leaked(id.to_owned()).as_str(), kinds, dtype, callable });
            Ok(new(Vec::new(), Vec::new()).with_kernels(vec![method]))
        }
        other => Err(unusable(format!("a subject cannot be '{other}', expected measure, method or kernel"))),
    }
}

/// The laws and the context that `case_file` narrows them to.
fn of_file(context: Context<'static>, file: &Path) -> PyResult<(Context<'static>, Vec<&'static dyn Law>)> {
    let corpus = Corpus::read(file).map_err(unusable)?;
    let networks = corpus.networks(context.tier, context.seed).map_err(unusable)?;
    let grams = corpus.grams(context.tier, context.seed).map_err(unusable)?;
    let laws = gate::registry().iter().copied().filter(|law| law.scope() != Scope::Certified).collect();
    Ok((context.on_cases(networks, grams), laws))
}

/// The same words for a callable, which is no command.
fn by_a_callable(mut outcome: Outcome) -> Outcome {
    outcome.reason = outcome.reason.replacen(" by a command: ", " raised ", 1);
    outcome
}

#[pymethods]
impl Gate {
    #[new]
    #[pyo3(signature = (subject, id, estimate, exactness, offered, dtype, tier, seed, cases, case_file, reproduce))]
    #[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
    fn new(
        py: Python,
        subject: &str,
        id: &str,
        estimate: Py<PyAny>,
        exactness: Option<&str>,
        offered: Option<Vec<String>>,
        dtype: &str,
        tier: &str,
        seed: u64,
        cases: usize,
        case_file: Option<PathBuf>,
        reproduce: String,
    ) -> PyResult<Self> {
        let callable = leaked(Callable::new(estimate));
        let context =
            context(subject, id, callable, (exactness, offered), self::dtype(dtype)?, self::tier(tier)?, seed)?;
        let (context, laws) = match &case_file {
            Some(file) => of_file(context, file)?,
            None => (context, gate::registry().to_vec()),
        };
        let cases = if case_file.is_some() { 0 } else { cases };
        let (mut checks, mut items) = (Vec::new(), Vec::new());
        py.detach(|| {
            for law in laws {
                let of_law = law.checks(&context);
                let mut estimators: Vec<String> = Vec::new();
                for check in of_law {
                    if !estimators.contains(&check.estimator) {
                        estimators.push(check.estimator.clone());
                    }
                    let (estimator, case) = (check.estimator.clone(), check.case.clone());
                    items.push((law.id().to_owned(), estimator, case, Item::Check(checks.len())));
                    checks.push((law, check));
                }
                for estimator in estimators {
                    if law.scope() == Scope::Every {
                        for index in 0..cases {
                            let case = format!("generated-{index}");
                            items.push((law.id().to_owned(), estimator.clone(), case, Item::Generated));
                        }
                    }
                    if case_file.is_none() {
                        items.push((law.id().to_owned(), estimator, ALL.to_owned(), Item::Verified));
                    }
                }
            }
        });
        let outcomes = Mutex::default();
        Ok(Self { callable, context, checks, items, cases, reproduce, outcomes, generated: Arc::default() })
    }

    /// Law, estimator and case of every item.
    fn items(&self) -> Vec<(&str, &str, &str)> {
        self.items.iter().map(|(law, estimator, case, _)| (law.as_str(), estimator.as_str(), case.as_str())).collect()
    }

    /// Runs an item, unless it was run, and gives its outcome as JSON, what the estimator raised, and whether its
    /// verdict is that of other items (which says nothing of its own).
    fn run(&self, py: Python, index: usize) -> PyResult<(String, Option<PyErr>)> {
        let (outcome, raised) = self.outcome(py, index)?;
        Ok((json!(outcome).to_string(), raised))
    }

    /// Writes the case of an item into a folder, if it is a network or a Gram matrix of the gate's own: its file, and the
    /// case in words where it was shrunk.
    fn save_case(&self, index: usize, folder: PathBuf) -> PyResult<Option<(PathBuf, Option<String>)>> {
        let Some((law, estimator, case, item)) = self.items.get(index) else { return Ok(None) };
        let source = format!("{estimator} under {law}");
        std::fs::create_dir_all(&folder)?;
        if matches!(item, Item::Generated) {
            let generated = held(&self.generated);
            let Some((_, found)) = generated.get(&(law.clone(), estimator.clone())) else { return Ok(None) };
            // Every law and estimator has one counterexample, its smallest.
            let Some(smallest) = found.first() else { return Ok(None) };
            let path = smallest.save(&folder).map_err(unusable)?;
            return Ok(Some((path, Some(smallest.smallest.clone()))));
        }
        let of_law = gate::registry().iter().find(|known| known.id() == law);
        if of_law.is_none_or(|law| law.scope() == Scope::Certified) || matches!(item, Item::Verified) {
            return Ok(None);
        }
        let network = self.context.flatness_cases.iter().find(|known| known.name == *case);
        let gram = self.context.prior_cases.iter().find(|known| known.name == *case);
        let saved = match (network, gram) {
            (Some(network), _) => network.save(&folder, &source),
            (None, Some(gram)) => gram.save(&folder, &source),
            (None, None) => return Ok(None),
        };
        Ok(Some((saved.map_err(unusable)?, None)))
    }

    /// The report of all that was run so far, as JSON and as text.
    fn report(&self) -> (String, String) {
        let report = self.judged();
        (json!(report).to_string(), report::text::verify(None, &report))
    }

    /// Writes the report of all that was run so far into a folder, as the program does.
    fn write_report(&self, folder: PathBuf) -> PyResult<()> {
        report::folder::write(&folder, None, &self.judged()).map_err(unusable)
    }
}

impl Gate {
    fn outcome(&self, py: Python, index: usize) -> PyResult<(Outcome, Option<PyErr>)> {
        if let Some(known) = held(&self.outcomes).get(&index) {
            return Ok((known.clone(), None));
        }
        let (law, estimator, case, item) =
            self.items.get(index).ok_or_else(|| unusable(format!("there is no item {index}")))?;
        let mut raised = None;
        let outcome = match item {
            Item::Check(check) => {
                let check = &self.checks[*check].1;
                let finding = py.detach(|| Check::decide(check));
                raised = self.callable.take();
                if let Some(error) = raised.take_if(|error| !error.is_instance_of::<pyo3::exceptions::PyException>(py))
                {
                    return Err(error);
                }
                py.check_signals()?;
                let reproduce = self.reproduce.replace("{}", &format!("{law}/{estimator}/{case}"));
                by_a_callable(Outcome::new(law, estimator, case, finding, reproduce))
            }
            Item::Generated => self.generated_outcome(py, law, estimator, case)?,
            Item::Verified => self.verified(py, law, estimator)?,
        };
        held(&self.outcomes).insert(index, outcome.clone());
        Ok((outcome, raised))
    }

    /// Runs the generated cases of a law at once, on one thread, and gives the outcome of one of them.
    fn generated_outcome(&self, py: Python, law: &str, estimator: &str, case: &str) -> PyResult<Outcome> {
        let key = (law.to_owned(), estimator.to_owned());
        if !held(&self.generated).contains_key(&key) {
            let (context, cases, reproduce) = (self.context.clone(), self.cases, self.reproduce.clone());
            let only = format!("{law}/{estimator}/");
            let work = move || {
                // One thread: the estimator is asked one thing at a time.
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                let run = || gate::run_generated(&context, cases, Some(&only), &reproduce, true, &|_, _, _| ());
                pool.map(|pool| pool.install(run))
            };
            let found = interruptible(py, work, || self.callable.cancel())?;
            if let Some(error) =
                self.callable.take().filter(|error| !error.is_instance_of::<pyo3::exceptions::PyException>(py))
            {
                return Err(error);
            }
            held(&self.generated).insert(key.clone(), found.map_err(|error| unusable(error.to_string()))?);
        }
        let generated = held(&self.generated);
        let found = generated.get(&key).and_then(|(outcomes, _)| outcomes.iter().find(|outcome| outcome.case == case));
        found.cloned().map(by_a_callable).ok_or_else(|| unusable(format!("law {law} was not held on {case}")))
    }

    /// Whether the law was verified on any of its cases, as the report judges it.
    fn verified(&self, py: Python, law: &str, estimator: &str) -> PyResult<Outcome> {
        let of = |index: &usize, law: Option<&str>| {
            let (its_law, its_estimator, _, item) = &self.items[*index];
            law.is_none_or(|law| its_law == law)
                && its_estimator == estimator
                && matches!(item, Item::Check(_) | Item::Generated)
        };
        let made = |finding| {
            let reproduce = self.reproduce.replace("{}", &format!("{law}/{estimator}/"));
            Outcome::new(law, estimator, ALL, finding, reproduce)
        };
        for index in (0..self.items.len()).filter(|index| of(index, Some(law))) {
            if self.outcome(py, index)?.0.verdict != Verdict::Skip {
                return Ok(made(Finding::compare(0.0, 0.0, 0.0)));
            }
        }
        // All were skipped, perhaps because answers are too noisy: then averages decide.
        if let Some(mut decided) = self.averaged(py, law, estimator)? {
            decided.case = ALL.to_owned();
            decided.reproduce = self.reproduce.replace("{}", &format!("{law}/{estimator}/"));
            return Ok(decided);
        }
        // Whether that may be depends on the other laws.
        let indices = (0..self.items.len()).filter(|index| of(index, None));
        let outcomes: Vec<Outcome> = indices.map(|index| Ok(self.outcome(py, index)?.0)).collect::<PyResult<_>>()?;
        let report = Report::new(outcomes, self.context.seed);
        let judged = report.laws.into_iter().find(|outcome| outcome.law == law && outcome.case == ALL);
        Ok(judged.unwrap_or_else(|| made(Finding::skip("declined as a whole: the other laws hold the same number"))))
    }

    /// Asks again, for averages of several answers, where noise left every case of a law undecided, as a run of the whole gate
    /// does; what that decided on a case, a failure first.
    fn averaged(&self, py: Python, law: &str, estimator: &str) -> PyResult<Option<Outcome>> {
        let of_law = |index: usize| {
            let (its_law, its_estimator, ..) = &self.items[index];
            its_law == law && its_estimator == estimator
        };
        let is_undecided = |outcome: &Outcome| outcome.cause == Some(Cause::Undecided);
        if !held(&self.outcomes).iter().any(|(index, outcome)| of_law(*index) && is_undecided(outcome)) {
            return Ok(None);
        }
        let (context, only, reproduce) = (self.context.clone(), format!("{law}/{estimator}/"), self.reproduce.clone());
        let work = move || {
            // One thread: the estimator is asked one thing at a time.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            pool.map(|pool| {
                pool.install(|| gate::run(gate::registry(), &context, Some(&only), &reproduce, &|_, _, _| ()))
            })
        };
        let outcomes =
            interruptible(py, work, || self.callable.cancel())?.map_err(|error| unusable(error.to_string()))?;
        if let Some(error) =
            self.callable.take().filter(|error| !error.is_instance_of::<pyo3::exceptions::PyException>(py))
        {
            return Err(error);
        }
        let mut decided: Option<Outcome> = None;
        for outcome in outcomes.into_iter().map(by_a_callable) {
            let item = (0..self.items.len()).find(|&index| of_law(index) && self.items[index].2 == outcome.case);
            if let Some(index) = item {
                held(&self.outcomes).insert(index, outcome.clone());
            }
            let counts = outcome.verdict == Verdict::Fail || outcome.verdict == Verdict::Pass && decided.is_none();
            if counts && decided.as_ref().is_none_or(|known| known.verdict != Verdict::Fail) {
                decided = Some(outcome);
            }
        }
        Ok(decided)
    }

    /// What was run so far, in the order of the law book. The items that say whether a law was verified are left to the
    /// report, which judges that itself.
    fn judged(&self) -> Report {
        let known = held(&self.outcomes);
        let own = |item: &Item| !matches!(item, Item::Verified);
        let outcomes =
            (0..self.items.len()).filter(|index| own(&self.items[*index].3)).filter_map(|index| known.get(&index));
        let counterexamples =
            held(&self.generated).values().flat_map(|(_, counterexamples)| counterexamples.clone()).collect();
        Report::new(Vec::new(), self.context.seed).with_generated(outcomes.cloned().collect(), counterexamples)
    }
}
