//! The gate for other crates' tests, and the folder that `--report` writes.

mod common;

use common::need::need;
use flatgauge::flatness::{self, FlatnessError, Measure, Options, Point, Responses};
use flatgauge::gate::external::violations;
use flatgauge::gate::{Gate, Report, Verdict};
use flatgauge::numeric::Estimate;
use flatgauge::numeric::tolerance::CERTIFIED_CURVATURE;
use flatgauge::{prior, report};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// The trace times a factor, under a name of its own.
struct Named(&'static str, f64);

/// The same under the name of the measure itself.
fn times(factor: f64) -> Named {
    Named("hessian_trace", factor)
}

impl Measure for Named {
    fn id(&self) -> &'static str {
        self.0
    }

    fn claim(&self) -> &'static str {
        "hessian_trace"
    }

    fn summary(&self) -> &'static str {
        "the trace times a factor"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let mut estimate = flatness::find("hessian_trace").unwrap().evaluate(point, options)?;
        estimate.value *= self.1;
        Ok(estimate)
    }
}

fn shut() -> Report {
    let mut report = Gate::quick().measure(&times(1.01)).report();
    report.laws[0].reason += " <script>alert('&')</script> | `";
    report
}

#[test]
fn a_sound_estimator_opens_the_gate_and_a_wrong_one_panics_with_its_failures() {
    Gate::quick().measure(&times(1.0)).assert();
    Gate::quick().prior(prior::find("exact").unwrap()).seed(3).assert();
    let panic = std::panic::catch_unwind(|| Gate::quick().measure(&times(1.01)).assert()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("curvature.definition/hessian_trace/") && message.contains("off by"), "{message}");
    assert!(std::panic::catch_unwind(|| Gate::quick().assert()).is_err(), "an empty gate verifies nothing");
}

/// What the report of a Rust estimator tells a reader to run is that estimator's own gate: `flatgauge verify` would run the
/// built-in one, and pass.
#[test]
fn every_reading_of_a_rust_estimators_report_names_the_gate_that_was_run() {
    let wrong = times(1.01);
    let gate = || Gate::full().measure(&wrong).seed(3).only("curvature.definition");
    let report = gate().report();
    let groups = report.failure_groups();
    let failed = &groups[0].smallest;
    assert_eq!((groups.len(), groups[0].cases.len()), (1, report.counts.fail), "one cause is one group");
    let address = format!("{}/{}/{}", failed.law, failed.estimator, failed.case);
    let line = format!("Gate::full().only({address:?}).seed(3)");
    assert_eq!(failed.reproduce, line);
    let panic = std::panic::catch_unwind(|| gate().assert()).unwrap_err();
    let quotes = |text: String| text.replace("&quot;", "\"");
    for (name, text) in [
        ("json", serde_json::to_string(&report).unwrap().replace("\\\"", "\"")),
        ("junit", quotes(report::junit::junit(&report))),
        ("markdown", report::markdown::markdown(&report)),
        ("html", quotes(report::html::html(None, &report))),
        ("text", report::text::verify(None, &report)),
        ("assert", panic.downcast_ref::<String>().unwrap().clone()),
    ] {
        assert!(text.contains(&line) && !text.contains("flatgauge verify"), "{name}: {text}");
    }
    // The line is right: that gate runs this check alone, to the same end.
    let alone = Gate::full().measure(&times(1.01)).only(&address).seed(3).report();
    assert_eq!((alone.laws.len(), &alone.laws[0]), (1, failed));
    // Generated cases are part of it.
    let report = Gate::quick().measure(&times(1.01)).only("definition/hessian_trace/generated").cases(2).report();
    assert!(report.laws[0].reproduce.ends_with(".seed(0).cases(2)"), "{}", report.laws[0].reproduce);
    assert!(report.laws[0].reproduce.starts_with("Gate::quick().only("), "{}", report.laws[0].reproduce);
}

#[test]
fn two_estimators_of_one_measure_stay_apart_and_owe_the_same() {
    let report = Gate::quick().measure(&Named("mine", 1.0)).measure(&Named("theirs", 1.01)).report();
    let count = |name: &str| report.laws.iter().filter(|outcome| outcome.estimator == name).count();
    assert!(count("mine") > 20 && count("mine") == count("theirs"), "{} {}", count("mine"), count("theirs"));
    let groups = report.failure_groups();
    assert!(!groups.is_empty() && groups.iter().all(|group| group.estimator == "theirs"), "{groups:#?}");
    let names: Vec<&str> = report.scores.iter().map(|score| score.estimator.as_str()).collect();
    assert_eq!(names, ["mine", "theirs"], "certified values are those of the claim");
}

#[test]
fn a_gate_on_which_nothing_matches_says_so() {
    let panic = std::panic::catch_unwind(|| Gate::quick().measure(&times(1.0)).only("permutatoin").assert());
    let panic = panic.unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("no check's law/estimator/case contains \"permutatoin\""), "{message}");
}

#[cfg(unix)]
#[test]
fn the_verdict_is_printed_where_the_report_cannot_be_written() {
    let place = tempfile::tempdir().unwrap();
    // No file may grow, so that the folder can be made and its files not be written.
    let line = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    for arguments in [
        &["verify", "--only", "curvature.definition/hessian_trace/fcn-5-6-1-relu-bce-0"][..],
        &["check", "--prior", "exact", "--command", "cat >&2", "--only", "label_flip/exact-step/gram-2-0"],
    ] {
        for format in ["text", "json"] {
            let folder = place.path().join(format);
            let output = Command::new("sh")
                .args(["-c", line, env!("CARGO_BIN_EXE_flatgauge")])
                .args(arguments)
                .args(["--format", format, "--report"])
                .arg(&folder)
                .output()
                .unwrap();
            let (stdout, stderr) = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).into();
            assert_eq!(output.status.code(), Some(2), "{stdout}{stderr}");
            if arguments[0] == "verify" {
                let word = if format == "text" { "PASS: 1 checks hold" } else { "\"verdict\": \"pass\"" };
                assert!(stdout.contains(word), "{stdout}");
                assert!(stderr.contains("--report") && stderr.lines().count() == 1, "{stderr}");
                assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing half-written");
            }
        }
    }
    // What can be seen at the start is: a folder in a file's place.
    let folder = place.path().join("taken");
    std::fs::create_dir_all(folder.join("junit.xml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .args(["verify", "--only", "digits", "--report"])
        .arg(&folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty() && stderr.contains("junit.xml"), "{stderr}");
}

#[test]
fn scores_are_digits_standard_errors_and_speed() {
    // One per cent off is two digits right, in every certified value.
    let report = Gate::quick().measure(&times(1.01)).report();
    let [score] = &report.scores[..] else { panic!("{:?}", report.scores) };
    assert_eq!((score.estimator.as_str(), score.values), ("hessian_trace", 5));
    for digits in [score.fewest_digits, score.median_digits] {
        assert!((digits - 2.0).abs() < 100.0 * CERTIFIED_CURVATURE, "{score:?}");
    }
    assert_eq!(score.largest_z, None);
    // A wrong answer has no speed.
    assert_eq!(score.relative_speed, None);
    let right = Gate::quick().measure(&times(1.0)).report();
    assert!(right.scores[0].relative_speed.is_some_and(|speed| speed > 0.0));
    // A stochastic method is scored in standard errors too, and all readings show the same numbers.
    let report = Gate::quick().prior(prior::find("smc").unwrap()).only("certified").report();
    let [score, probit] = &report.scores[..] else { panic!("{:?}", report.scores) };
    assert_eq!((score.estimator.as_str(), score.values), ("smc-step", 12));
    assert_eq!((probit.estimator.as_str(), probit.values), ("smc-probit", 2));
    let z = score.largest_z.expect("it has a standard error");
    assert!(z != 0.0 && z.abs() < 6.0, "{z}");
    let (text, page) = (report::text::verify(None, &report), report::html::html(None, &report));
    for shown in [text, report::markdown::markdown(&report), page] {
        assert!(shown.contains("largest z") && shown.contains(&format!("{z:.2}")), "{shown}");
    }
}

#[test]
fn one_percent_in_any_deterministic_measure_shuts_the_gate() {
    struct Biased(&'static dyn Measure);
    impl Measure for Biased {
        fn id(&self) -> &'static str {
            self.0.id()
        }
        fn summary(&self) -> &'static str {
            "1% too large"
        }
        fn source(&self) -> &'static str {
            "planted"
        }
        fn responses(&self) -> Responses {
            self.0.responses()
        }
        fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
            let mut estimate = self.0.evaluate(point, options)?;
            estimate.value *= 1.01;
            Ok(estimate)
        }
    }
    let deterministic: Vec<_> = flatness::registry().iter().filter(|measure| !measure.is_stochastic()).collect();
    assert!(deterministic.len() >= 13, "{}", deterministic.len());
    for measure in deterministic {
        let report = Gate::quick().measure(&Biased(*measure)).report();
        assert_eq!(report.verdict, Verdict::Fail, "{}", measure.id());
    }
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../fixtures/schema/report.schema.json")).unwrap()
}

#[test]
fn the_folder_of_verify_holds_all_readings_and_its_json_fits_the_schema() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a/b");
    let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .args(["verify", "--only", "digits+0", "--format", "json", "--report"])
        .arg(&folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["index.html", "junit.xml", "report.json", "report.md", "report.txt"]);
    assert_eq!(std::fs::read(folder.join("report.json")).unwrap(), output.stdout);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = schema();
    assert_eq!(violations(&schema, &document), Vec::<String>::new());
    // The validator itself: planted errors are seen.
    for (pointer, planted) in [
        ("/verdict", json!("perhaps")),
        ("/counts/pass", json!(-1)),
        ("/counts", json!({"pass": 1, "fail": 0})),
        ("/laws/0/measured", json!("seven")),
        ("/laws/0", json!({})),
        ("/laws/0/score", json!({"digits": -1.0})),
        ("/scores", json!([{"estimator": "e"}])),
        ("/demonstration/networks/0/rows/0/extra", json!(1)),
    ] {
        let mut broken = document.clone();
        match broken.pointer_mut(pointer) {
            Some(place) => *place = planted,
            None if pointer.ends_with("score") => broken["laws"][0]["score"] = planted,
            None => broken.pointer_mut("/demonstration/networks/0/rows/0").unwrap()["extra"] = planted,
        }
        assert!(!violations(&schema, &broken).is_empty(), "{pointer}");
    }
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.contains("Keskar sharpness") && page.contains("log P(f)") && page.contains("<polyline"));
    self_contained(&page);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for arguments in [vec!["verify"], vec!["check", "--measure", "hessian_trace", "--command", "cat"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(arguments)
            .arg("--report")
            .arg(file.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--report") && stderr.lines().count() == 1, "{stderr}");
    }
}

fn self_contained(page: &str) {
    for word in ["<script", "http:", "https:", " src=", "@import", "url("] {
        assert!(!page.contains(word), "the page has {word}");
    }
    assert_eq!(
        page.matches("href=").count(),
        page.matches("href=\"#").count() + page.matches("href=\"data:,\"").count()
    );
}

#[test]
fn the_page_shows_the_verdict_and_the_matrix_first_and_leads_from_there_to_the_failures() {
    let report = shut();
    let page = report::html::html(None, &report);
    self_contained(&page);
    assert!(!page.contains("alert('"), "reasons are escaped");
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(
        place("id=\"verdict\">FAIL") < place("class=\"matrix\"") && place("class=\"matrix\"") < place("<h2>Failures")
    );
    for link in page.match_indices("href=\"#").map(|(at, _)| &page[at + 7..]) {
        let target = link.split('"').next().unwrap();
        assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
    }
    assert!(page.contains("href=\"#curvature-definition--hessian-trace\""));
    assert_eq!(page.matches("<details open").count(), report.failure_groups().len());
    // Every failure has its line all the same.
    let failed = report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail);
    for outcome in failed {
        assert!(page.contains(&format!("/{}&quot;", outcome.case)), "{}", outcome.case);
    }
}

#[test]
fn junit_and_markdown_say_the_same_and_are_well_formed() {
    let report = shut();
    let xml = report::junit::junit(&report);
    let total = report.laws.len();
    assert!(xml.contains(&format!("tests=\"{total}\" failures=\"{}\"", report.counts.fail)));
    assert_eq!(xml.matches("<testcase ").count(), total);
    assert_eq!(xml.matches("<failure ").count(), report.counts.fail);
    assert_eq!(xml.matches("<skipped ").count(), report.counts.skip);
    // Tags close in the order they open, and nothing else is markup.
    let mut open = Vec::new();
    for tag in xml.split('<').skip(2).map(|rest| rest.split('>').next().unwrap()) {
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty());
    let markdown = report::markdown::markdown(&report);
    assert!(markdown.starts_with("## flatgauge: the gate is shut\n"));
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.iter().all(|row| [5, 6, 7].contains(&(row.replace("\\|", "").matches('|').count() - 1))), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.contains(".only(")).count(), report.failure_groups().len().min(20));
}

/// A browser without a window, where the machine has one.
fn chromium(page: &Path, width: usize, picture: &Path) -> Option<std::process::Output> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|program| {
        Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"])
            .arg(format!("--window-size={width},1400"))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .ok()
    })
}

#[test]
fn a_browser_shows_the_page_on_a_phone_and_on_a_desk_without_complaint() {
    let place = tempfile::tempdir().unwrap();
    report::folder::write(place.path(), None, &shut()).unwrap();
    for width in [375, 1280] {
        let picture = place.path().join(format!("{width}.png"));
        let output = chromium(&place.path().join("index.html"), width, &picture);
        if !need("chromium", output.is_some(), "there is no chromium or google-chrome") {
            return;
        }
        let output = output.unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert!(!log.contains("CONSOLE"), "{log}");
        let bytes = std::fs::read(&picture).unwrap();
        assert_eq!(&bytes[1..4], b"PNG");
        assert_eq!(u32::from_be_bytes(bytes[16..20].try_into().unwrap()) as usize, width);
    }
}
