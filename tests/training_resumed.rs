//! Interrupted trainings and sweeps end in the same bits as uninterrupted ones.

mod common;

use common::files::{bits, files};
use flatgauge::data::{Dataset, Recipe, Splits, load_source};
use flatgauge::model::{Activation, Architecture, LayerSpec, load_network};
use flatgauge::processes::SingleProcess;
use flatgauge::train::{
    Event, Job, OptimizerSettings, Run, Schedule, Settings, Summary, TrainError, Trainer, grid, registry, sweep,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn settings(optimizer: &str) -> Settings {
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, std::f64::consts::SQRT_2, 1.0);
    let mut settings = Settings::new(architecture, 3);
    settings.data = Recipe { train: 200, attack: 30, test: 100, corruption: 0.05, ..settings.data };
    settings.trainer.optimizer = OptimizerSettings::named(optimizer);
    settings.trainer.schedule = vec![Schedule::Exponential { factor: 0.99 }];
    settings.trainer.max_epochs = 30;
    settings
}

fn splits(settings: &Settings) -> Splits {
    settings.data.take(&load_source("digits").unwrap()).unwrap()
}

fn begin(settings: &Settings, splits: &Splits) -> Run {
    let network = settings.initial_network().unwrap();
    Run::new(&settings.trainer, network, &splits.training, splits.clean).unwrap()
}

fn resume(settings: &Settings, splits: &Splits, path: &Path) -> Result<Run, TrainError> {
    let network = settings.initial_network().unwrap();
    Run::resume(path, &settings.trainer, network.model(), &splits.training, splits.clean)
}

#[test]
fn every_optimiser_resumes_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let plain = registry().iter().map(|optimizer| (optimizer, false));
    for (optimizer, batch_norm) in plain.chain([(&registry()[0], true)]) {
        let mut settings = settings(optimizer.id());
        if batch_norm {
            settings.architecture.layers.insert(1, LayerSpec::BatchNorm);
        }
        let splits = splits(&settings);
        let mut whole = begin(&settings, &splits);
        let statistics = whole.network().buffers().to_vec();
        let mut interrupted = begin(&settings, &splits);
        // At epochs of different phases; the third interruption is before anything new was done.
        for until in [1, 7, 7, 16] {
            while interrupted.last().epoch < until && !interrupted.is_finished() {
                interrupted.advance().unwrap();
            }
            interrupted.save(&path).unwrap();
            interrupted = resume(&settings, &splits, &path).unwrap();
        }
        while !whole.is_finished() {
            whole.advance().unwrap();
        }
        while !interrupted.is_finished() {
            interrupted.advance().unwrap();
        }
        let (whole, interrupted) = (whole.finish(), interrupted.finish());
        assert_eq!(bits(whole.network.theta()), bits(interrupted.network.theta()), "{}", optimizer.id());
        assert_eq!(bits(whole.network.buffers()), bits(interrupted.network.buffers()));
        assert_eq!(whole.network.buffers() != statistics, batch_norm);
        assert_eq!(whole.history, interrupted.history);
        assert_eq!(whole.zero_error_epoch, interrupted.zero_error_epoch);
    }
}

#[test]
fn a_checkpoint_that_is_damaged_or_of_another_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let settings = settings("adam");
    let splits = splits(&settings);
    let mut run = begin(&settings, &splits);
    run.advance().unwrap();
    run.save(&path).unwrap();
    let message = |settings: &Settings, splits: &Splits, path: &Path| {
        let error = resume(settings, splits, path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        error
    };
    // A longer training of the same settings goes on from there.
    let mut longer = settings.clone();
    (longer.trainer.max_epochs, longer.trainer.extra_epochs) = (50, 2);
    assert_eq!(resume(&longer, &splits, &path).unwrap().last(), run.last());

    let other = Settings { trainer: Trainer { batch_size: 16, ..settings.trainer.clone() }, ..settings.clone() };
    assert!(message(&other, &splits, &path).contains("\"batch_size\":16"));
    let mut other_data = splits.clone();
    let training = &splits.training;
    let mut targets = training.targets().clone();
    targets[[0, 0]] = 1.0 - targets[[0, 0]];
    other_data.training =
        Dataset::new(training.name(), training.inputs().clone(), training.shape().to_vec(), targets).unwrap();
    assert!(message(&settings, &other_data, &path).contains("other data"));
    let mut fewer = splits.clone();
    fewer.clean -= 1;
    assert!(message(&settings, &fewer, &path).contains("other data"));

    let bytes = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.safetensors");
    let with = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        message(&settings, &splits, &damaged)
    };
    with(&[]);
    with(&bytes[..bytes.len() - 1]);
    // One bit of a parameter, one of an optimiser's vector (they come last), one digit of the history.
    for place in [bytes.len() / 2, bytes.len() - 8] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        assert!(with(&flipped).contains("not those that were written"));
    }
    let digit = bytes.windows(8).position(|window| window == b"accuracy").unwrap() + 16;
    let mut flipped = bytes.clone();
    assert!(flipped[digit].is_ascii_digit());
    flipped[digit] = b'0' + (flipped[digit] - b'0' + 1) % 10;
    assert!(with(&flipped).contains("not those that were written"));
    // A trained network is no run.
    let network = folder.path().join("network.safetensors");
    flatgauge::model::save_network(&network, run.network(), &BTreeMap::new()).unwrap();
    assert!(message(&settings, &splits, &network).contains("no training run"));
    assert!(message(&settings, &splits, &folder.path().join("missing")).contains("cannot read"));
}

fn jobs() -> Vec<Job> {
    let mut base = settings("sgd");
    (base.trainer.max_epochs, base.trainer.extra_epochs) = (3000, 1200);
    base.trainer.schedule.clear();
    base.trainer.learning_rate = Some(0.1);
    grid(&base, &[0, 40], &[0, 1])
}

fn sweep_on(threads: usize, jobs: &[Job], folder: &Path) -> (Vec<Result<Summary, TrainError>>, Vec<usize>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let first_epochs = Mutex::new(vec![usize::MAX; jobs.len()]);
    let outcomes = pool.install(|| {
        sweep(jobs, folder, &SingleProcess, &|event| {
            if let Event::Epoch { job, epoch } = event {
                let first = &mut first_epochs.lock().unwrap()[job];
                *first = (*first).min(epoch.epoch);
            }
        })
        .unwrap()
    });
    (outcomes, first_epochs.into_inner().unwrap())
}

const CHILD_FOLDER: &str = "FLATGAUGE_TEST_SWEEP_FOLDER";

/// The sweep that [`a_killed_sweep_ends_in_the_same_bytes`] starts as a process of its own and kills.
#[test]
#[ignore = "no test: the process that a_killed_sweep_ends_in_the_same_bytes starts"]
fn process_of_a_killed_sweep() {
    let folder = std::env::var_os(CHILD_FOLDER).expect("only the test that kills it starts this process");
    sweep_on(2, &jobs(), &PathBuf::from(folder));
}

#[test]
fn a_killed_sweep_ends_in_the_same_bytes() {
    let (killed, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "process_of_a_killed_sweep"])
        .env(CHILD_FOLDER, killed.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = || files(killed.path()).keys().any(|name| name.ends_with(".partial"));
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "the sweep ended before it saved a state");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!files(killed.path()).contains_key("summary.jsonl"));
    // What a write in progress leaves behind is no one's state.
    for entry in std::fs::read_dir(killed.path()).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().starts_with(".flatgauge-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let jobs = jobs();
    let (outcomes, first_epochs) = sweep_on(1, &jobs, killed.path());
    assert!(first_epochs.iter().any(|first| (1..usize::MAX).contains(first)), "nothing was resumed: {first_epochs:?}");
    let (expected, first_epochs) = sweep_on(2, &jobs, whole.path());
    assert_eq!(first_epochs, [0; 4]);
    assert_eq!(outcomes, expected);
    let written = files(whole.path());
    assert_eq!(written, files(killed.path()));
    assert_eq!(written.len(), jobs.len() + 1);

    // Once more: nothing is trained again, nothing changes.
    let (again, first_epochs) = sweep_on(2, &jobs, whole.path());
    assert_eq!((again, first_epochs), (expected.clone(), vec![usize::MAX; 4]));
    assert_eq!(files(whole.path()), written);

    let lines = String::from_utf8(written["summary.jsonl"].clone()).unwrap();
    for ((line, job), outcome) in lines.lines().zip(&jobs).zip(expected) {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["name"].take(), job.name);
        value.as_object_mut().unwrap().remove("name");
        let summary = outcome.unwrap();
        assert_eq!(serde_json::from_value::<Summary>(value).unwrap(), summary);
        assert_eq!((summary.zero_error_epoch.unwrap() + 1200, summary.train_accuracy), (summary.epochs, 1.0));
        assert_eq!((summary.corrupted, summary.test), (10, 100));
        assert_eq!(summary.attack_accuracy.is_some(), summary.attack > 0);
    }
    // Attack set and corruption stand in the network's own file.
    let path = whole.path().join(format!("{}.safetensors", jobs[2].name));
    let checkpoint = load_network(&path, jobs[2].settings.initial_network().unwrap().model()).unwrap();
    let recorded: Settings = serde_json::from_str(&checkpoint.metadata["settings"]).unwrap();
    assert_eq!(recorded, jobs[2].settings);
    assert_eq!((recorded.data.attack, recorded.data.corruption), (40, 0.05));
}

#[test]
fn one_failure_does_not_stop_a_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = jobs();
    for job in &mut jobs {
        job.settings.trainer.extra_epochs = 0;
    }
    jobs[1].settings.trainer.learning_rate = Some(1e9);
    let (outcomes, _) = sweep_on(2, &jobs, folder.path());
    assert!(matches!(outcomes[1], Err(TrainError::Diverged { .. })));
    assert!([0, 2, 3].iter().all(|&job| outcomes[job].is_ok()));
    let lines = String::from_utf8(files(folder.path())["summary.jsonl"].clone()).unwrap();
    assert!(lines.lines().nth(1).unwrap().contains("training diverged in epoch 1"));

    // Other settings under a name that is taken are refused, and the file stays.
    jobs[0].settings.trainer.batch_size = 16;
    let before = files(folder.path());
    let name = format!("{}.safetensors", jobs[0].name);
    let (outcomes, _) = sweep_on(2, &jobs, folder.path());
    let error = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("other settings"), "{error}");
    assert_eq!(before[&name], files(folder.path())[&name]);

    jobs[1].name = jobs[0].name.clone();
    let error = sweep(&jobs, folder.path(), &SingleProcess, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
    jobs[1].name = "another".to_owned();
    jobs[1].settings.data.source = "mnist:/no/such/folder".to_owned();
    assert!(matches!(sweep(&jobs, folder.path(), &SingleProcess, &|_| {}).unwrap_err(), TrainError::Data(_)));
}

#[test]
fn settings_are_data() {
    let settings = settings("entropy_sgd");
    let text = toml::to_string(&settings).unwrap();
    assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    let sparse = r#"
        [architecture]
        input = [64]
        [[architecture.layers]]
        type = "dense"
        units = 1
        [trainer]
        learning_rate = 0.1
        [trainer.optimizer]
        id = "adam"
        preset = "tensorflow"
        hyperparameters = { beta1 = 0.8 }
    "#;
    let settings: Settings = toml::from_str(sparse).unwrap();
    let built = settings.trainer.optimizer.build().unwrap();
    assert_eq!(built.optimizer.hyperparameters()["beta1"], 0.8);
    assert_eq!(built.optimizer.hyperparameters()["epsilon_hat"], true);
    assert_eq!(settings.data, Recipe::default());
    let wrong = sparse.replace("learning_rate", "rate");
    assert!(toml::from_str::<Settings>(&wrong).unwrap_err().to_string().contains("unknown field `rate`"));
}
