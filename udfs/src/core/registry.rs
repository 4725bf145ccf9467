//! The folder of models, read only. Everything in it is a plain file; readers never lock.
//!
//! ```text
//! <home>/models/churn/aliases.json      {"champion": 2, "default": 1}
//! <home>/models/churn/1/model.onnx
//! <home>/models/churn/1/model.json
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{Code, Error, Result, no_alias, no_model, no_version};
use super::files::{FileState, is_out_of_files, read_plain, state_of};
use super::manifest::{Manifest, validate};
use super::reference::{Pointer, Reference, is_stored_name};

const MOST_BYTES_OF_ALIASES: u64 = 1 << 20;
const MOST_VERSIONS: u64 = 1 << 31;
/// Manifests that are kept; those of versions that were removed are not missed.
const MOST_KNOWN: usize = 4096;

#[derive(Clone)]
pub struct Registry {
    pub home: PathBuf,
}

type Known = HashMap<PathBuf, (FileState, Arc<Manifest>)>;
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Registry {
    /// The folder given, else `$SQLINFER_HOME`, else `~/.sqlinfer`.
    pub fn open(home: Option<&str>) -> Registry {
        let given = home.filter(|text| !text.is_empty()).map(expanded);
        let home = given
            .or_else(|| variable("SQLINFER_HOME").map(PathBuf::from))
            .or_else(|| variable("HOME").map(|user| PathBuf::from(user).join(".sqlinfer")));
        Registry { home: home.unwrap_or_else(|| PathBuf::from(".sqlinfer")) }
    }

    /// Whether the environment says which folder it is where nobody else does.
    pub fn is_in_environment() -> bool {
        variable("SQLINFER_HOME").is_some()
    }

    /// The models that have a version; one whose folder cannot be read says so when it is asked for.
    pub fn names(&self) -> Result<Vec<String>> {
        let unreadable =
            |e| Error::of(Code::Registry, format!("the registry {} cannot be read: {e}", self.home.display()));
        let entries = entries(&self.models()).map_err(unreadable)?;
        let mut names: Vec<String> = entries.into_iter().filter(|name| is_stored_name(name)).collect();
        names.retain(|name| self.versions(name).is_ok_and(|versions| !versions.is_empty()));
        names.sort_unstable();
        Ok(names)
    }

    pub fn versions(&self, name: &str) -> Result<Vec<u64>> {
        let folder = self.models().join(name);
        let unreadable = |e| {
            let shown = folder.display();
            Error::of(Code::Registry, format!("the model '{name}' cannot be read ({e}); mend or remove {shown}"))
        };
        let entries = entries(&folder).map_err(unreadable)?;
        let mut versions: Vec<u64> = entries.iter().filter_map(|entry| version(entry)).collect();
        versions.retain(|version| folder.join(version.to_string()).is_dir());
        versions.sort_unstable();
        Ok(versions)
    }

    pub fn aliases(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.models().join(name).join("aliases.json");
        let damaged = |e: &dyn std::fmt::Display| {
            Error::of(
                Code::Registry,
                format!(
                    "{} is damaged ({e}); write it as {{\"default\": 1}} with the version you want",
                    path.display()
                ),
            )
        };
        let aliases: BTreeMap<String, u64> = match read_plain(&path, MOST_BYTES_OF_ALIASES) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| damaged(&e))?,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => BTreeMap::new(),
            Err(e) if is_out_of_files(&e) => {
                return Err(Error::of(Code::Registry, format!("{} cannot be read ({e})", path.display())));
            }
            Err(e) => return Err(damaged(&e)),
        };
        match aliases.iter().find(|(_, version)| !(1..MOST_VERSIONS).contains(*version)) {
            Some((alias, version)) => Err(damaged(&format!("{alias} is {version}"))),
            None => Ok(aliases),
        }
    }

    /// The version that a reference means now.
    pub fn resolve(&self, reference: &Reference) -> Result<u64> {
        let name = &reference.name;
        let alias = match &reference.pointer {
            Pointer::Version(version) => return Ok(*version),
            Pointer::Alias(alias) => alias,
        };
        let aliases = self.aliases(name)?;
        if let Some(version) = aliases.get(alias) {
            return Ok(*version);
        }
        self.require(name)?;
        let existing: Vec<String> = aliases.into_keys().collect();
        Err(no_alias(name, alias, &existing))
    }

    /// What a reference means now.
    pub fn get(&self, reference: &Reference) -> Result<Arc<Manifest>> {
        self.version(&reference.name, self.resolve(reference)?)
    }

    pub fn version(&self, name: &str, version: u64) -> Result<Arc<Manifest>> {
        let folder = self.models().join(name).join(version.to_string());
        let path = folder.join("model.json");
        let state = match state_of(&path) {
            Ok(state) => state,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                self.require(name)?;
                if folder.is_dir() {
                    return Err(Error::of(
                        Code::Registry,
                        format!("{} is missing: the version is damaged; remove it and register again", path.display()),
                    ));
                }
                return Err(no_version(name, version, &self.versions(name)?));
            }
            Err(e) => return Err(Error::of(Code::Registry, format!("{} cannot be read ({e})", path.display()))),
        };
        if let Some(manifest) = known(&path, state) {
            return Ok(manifest);
        }
        // a copied folder is the model that it is called
        let manifest = Arc::new(Manifest { name: name.to_string(), version, ..validate::read(&path)? });
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(path, (state, manifest.clone()));
        Ok(manifest)
    }

    /// Every version that can be read, with the aliases that point to it.
    pub fn all(&self) -> Result<Vec<(Arc<Manifest>, Vec<String>)>> {
        let mut all = Vec::new();
        for name in self.names()? {
            let aliases = self.aliases(&name).unwrap_or_default();
            for version in self.versions(&name).unwrap_or_default() {
                if let Ok(manifest) = self.version(&name, version) {
                    let mine = aliases.iter().filter(|(_, v)| **v == version);
                    all.push((manifest, mine.map(|(alias, _)| alias.clone()).collect()));
                }
            }
        }
        Ok(all)
    }

    fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    fn require(&self, name: &str) -> Result<()> {
        if !self.versions(name)?.is_empty() {
            return Ok(());
        }
        Err(no_model(name, &self.names()?, &self.home.display().to_string()))
    }
}

fn known(path: &Path, state: FileState) -> Option<Arc<Manifest>> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (then, manifest) = known.as_ref()?.get(path)?;
    (*then == state).then(|| manifest.clone())
}

/// The names in a folder; none where there is no folder.
fn entries(folder: &Path) -> std::io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect(),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn version(entry: &str) -> Option<u64> {
    let written = (1..=9).contains(&entry.len()) && entry.bytes().all(|byte| byte.is_ascii_digit());
    (written && !entry.starts_with('0')).then(|| entry.parse().ok())?
}

fn expanded(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(user)) => PathBuf::from(user).join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::manifest::tests::sample;

    fn registry(test: &str) -> Registry {
        let home = std::env::temp_dir().join(format!("sqlinfer-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        for version in [1, 2] {
            let folder = home.join("models/churn").join(version.to_string());
            fs::create_dir_all(&folder).unwrap();
            let mut fields = sample();
            fields["version"] = version.into();
            fs::write(folder.join("model.json"), fields.to_string()).unwrap();
        }
        fs::write(home.join("models/churn/aliases.json"), r#"{"default": 1, "champion": 2}"#).unwrap();
        Registry { home }
    }

    #[test]
    fn references_find_their_version() {
        let registry = registry("get");
        let version = |text| registry.get(&Reference::parse(text).unwrap()).map(|m| m.version);
        assert_eq!(version("churn"), Ok(1));
        assert_eq!(version("churn/2"), Ok(2));
        assert_eq!(version("churn@champion"), Ok(2));
        assert!(version("churn/3").unwrap_err().to_string().ends_with("has no version 3; versions: 1, 2"));
        assert!(version("churn@champ").unwrap_err().to_string().contains("did you mean 'champion'?"));
        assert!(version("chrn").unwrap_err().to_string().contains("did you mean 'churn'?"));
        fs::write(registry.home.join("models/churn/aliases.json"), r#"{"default": 2}"#).unwrap();
        assert_eq!(version("churn"), Ok(2));
        fs::remove_dir_all(registry.home).unwrap();
    }

    #[test]
    fn damage_stays_where_it_is() {
        let registry = registry("damage");
        fs::write(registry.home.join("models/churn/2/model.json"), "{").unwrap();
        let all = registry.all().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1, ["default"]);
        fs::write(registry.home.join("models/churn/1/model.json"), r#"{"format": 9}"#).unwrap();
        let error = registry.get(&Reference::parse("churn").unwrap()).unwrap_err().to_string();
        assert!(error.contains("has format 9, and sqlinfer "), "{error}");
        fs::remove_dir_all(registry.home).unwrap();
    }
}
