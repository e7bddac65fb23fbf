//! Finished pieces of work on disk, so that a study that was stopped goes on where it was.

use crate::io::{Checksum, write_atomically};
use crate::study::StudyError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// A folder of results by name, each with the key that decides it.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    resume: bool,
}

/// One file: a result, everything it depends on, and the checksum of both.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: String,
    key: Value,
    result: Value,
    checksum: String,
}

fn checksum(key: &Value, result: &Value) -> String {
    Checksum::default().bytes(key.to_string().as_bytes()).bytes(result.to_string().as_bytes()).text()
}

impl Cache {
    /// Results in `folder`; those that are there already count if `resume` is set, and are replaced otherwise.
    pub fn new(folder: PathBuf, resume: bool) -> Self {
        Self { folder, resume }
    }

    /// The result called `name`: from disk if it is there for the same `key` by the same version of the program, else
    /// computed and kept. What is returned has been through JSON in either case.
    ///
    /// # Errors
    /// Those of `compute`; [`StudyError::File`] if the result cannot be written.
    pub fn get<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        key: &Value,
        compute: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<T, StudyError> {
        let path = self.folder.join(format!("{name}.json"));
        let fault = |reason: String| StudyError::File { path: path.display().to_string(), reason };
        if self.resume
            && let Ok(bytes) = std::fs::read(&path)
            && let Ok(entry) = serde_json::from_slice::<Entry>(&bytes)
            && entry.version == env!("CARGO_PKG_VERSION")
            && entry.key == *key
            && entry.checksum == checksum(key, &entry.result)
            && let Ok(result) = serde_json::from_value(entry.result)
        {
            return Ok(result);
        }
        let result = serde_json::to_value(compute()?).map_err(|error| fault(error.to_string()))?;
        let checksum = checksum(key, &result);
        let entry = Entry { version: env!("CARGO_PKG_VERSION").to_owned(), key: key.clone(), result, checksum };
        let bytes = serde_json::to_vec(&entry).map_err(|error| fault(error.to_string()))?;
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| write_atomically(&path, &bytes))
            .map_err(|error| fault(error.to_string()))?;
        serde_json::from_value(entry.result).map_err(|error| fault(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn results_are_kept_by_key_and_damage_is_computed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |resume| Cache::new(folder.path().join("cache"), resume);
        let third = 1.0 / 3.0;
        let get = |cache: Cache, key: Value, value: f64| cache.get("a", &key, || Ok(vec![value])).unwrap()[0];
        assert_eq!(get(cache(true), json!(1), third), third);
        assert_eq!(get(cache(true), json!(1), 2.0), third);
        assert_eq!(get(cache(true), json!(2), 2.0), 2.0);
        assert_eq!(get(cache(false), json!(2), 3.0), 3.0);
        let path = folder.path().join("cache/a.json");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(get(cache(true), json!(2), 4.0), 4.0);
        // One digit of the result, which any parser would take.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("4.0", "5.0")).unwrap();
        assert_eq!(get(cache(true), json!(2), 6.0), 6.0);
        let error = cache(true).get("b", &json!(1), || Err::<f64, _>(refusal())).unwrap_err();
        assert!(error.to_string().contains("refused"));
        assert!(!folder.path().join("cache/b.json").exists());
    }

    fn refusal() -> StudyError {
        StudyError::Network { network: "n".to_owned(), reason: "refused".to_owned() }
    }
}
