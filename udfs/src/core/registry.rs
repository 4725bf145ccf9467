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
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::error::{Error, Result, no_alias, no_model, no_version};
use super::manifest::Manifest;
use super::reference::{Pointer, Reference, is_name};

/// Read a file of a model: it is what it was when the model was proven.
pub fn require_intact(path: &Path, sha256: &str) -> Result<()> {
    let mut digest = Sha256::new();
    let read = fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut digest));
    read.map_err(|reason| unreadable(path, &reason))?;
    let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == sha256 {
        return Ok(());
    }
    let short = |text: &str| text.chars().take(12).collect::<String>();
    Err(Error(format!(
        "{} is not the file that was registered (its sha256 is {}…, not {}…); register the model again",
        path.display(),
        short(&found),
        short(sha256)
    )))
}

pub fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error(format!("{} cannot be read ({reason}); register the model again", path.display()))
}

pub struct Registry {
    pub home: PathBuf,
}

type Known = HashMap<PathBuf, (SystemTime, Arc<Manifest>)>;
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

impl Registry {
    /// The folder given, else `$SQLINFER_HOME`, else `~/.sqlinfer`.
    pub fn open(home: Option<&str>) -> Registry {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let given = home.filter(|text| !text.is_empty()).map(expanded);
        let home = given
            .or_else(|| variable("SQLINFER_HOME").map(PathBuf::from))
            .or_else(|| variable("HOME").map(|user| PathBuf::from(user).join(".sqlinfer")));
        Registry { home: home.unwrap_or_else(|| PathBuf::from(".sqlinfer")) }
    }

    pub fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.entries(&self.models())?.into_iter().filter(|n| is_name(n)).collect();
        names.retain(|name| self.models().join(name).is_dir());
        names.sort_unstable();
        Ok(names)
    }

    pub fn versions(&self, name: &str) -> Result<Vec<u64>> {
        let folder = self.models().join(name);
        let mut versions: Vec<u64> = self.entries(&folder)?.iter().filter_map(|n| n.parse().ok()).collect();
        versions.retain(|version| folder.join(version.to_string()).is_dir());
        versions.sort_unstable();
        Ok(versions)
    }

    pub fn aliases(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.models().join(name).join("aliases.json");
        let damaged = |e: &dyn std::fmt::Display| {
            Error(format!(
                "{} is damaged ({e}); write it as {{\"default\": 1}} with the version you want",
                path.display()
            ))
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| damaged(&e)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(BTreeMap::new()),
            Err(e) => Err(damaged(&e)),
        }
    }

    /// What a reference means now.
    pub fn get(&self, reference: &Reference) -> Result<Arc<Manifest>> {
        let name = &reference.name;
        let version = match &reference.pointer {
            Pointer::Version(version) => *version,
            Pointer::Alias(alias) => {
                let aliases = self.aliases(name)?;
                match aliases.get(alias) {
                    Some(version) => *version,
                    None => {
                        self.require(name)?;
                        let existing: Vec<String> = aliases.into_keys().collect();
                        return Err(no_alias(name, alias, &existing));
                    }
                }
            }
        };
        let folder = self.models().join(name).join(version.to_string());
        let path = folder.join("model.json");
        let Ok(changed) = fs::metadata(&path).and_then(|facts| facts.modified()) else {
            self.require(name)?;
            if folder.is_dir() {
                return Err(Error(format!(
                    "{} is missing: the version is damaged; remove it and register again",
                    path.display()
                )));
            }
            return Err(no_version(name, version, &self.versions(name)?));
        };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        match known.get(&path) {
            Some((then, manifest)) if *then == changed => Ok(manifest.clone()),
            _ => {
                // a copied folder is the model that it is called
                let manifest = Arc::new(Manifest { name: name.clone(), version, ..Manifest::read(&path)? });
                known.insert(path, (changed, manifest.clone()));
                Ok(manifest)
            }
        }
    }

    /// Every version that can be read, with the aliases that point to it.
    pub fn all(&self) -> Result<Vec<(Arc<Manifest>, Vec<String>)>> {
        let mut all = Vec::new();
        for name in self.names()? {
            let aliases = self.aliases(&name).unwrap_or_default();
            for version in self.versions(&name)? {
                let reference = Reference { name: name.clone(), pointer: Pointer::Version(version) };
                if let Ok(manifest) = self.get(&reference) {
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
        if self.models().join(name).is_dir() {
            return Ok(());
        }
        Err(no_model(name, &self.names()?, &self.home.display().to_string()))
    }

    fn entries(&self, folder: &Path) -> Result<Vec<String>> {
        let unreadable = |e| Error(format!("the registry {} cannot be read: {e}", self.home.display()));
        match fs::read_dir(folder) {
            Ok(entries) => {
                let names = entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
                names.collect::<std::io::Result<_>>().map_err(unreadable)
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
            Err(e) => Err(unreadable(e)),
        }
    }
}

fn expanded(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(user)) => PathBuf::from(user).join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

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
        assert!(error.contains("has format 9, this sqlinfer knows format 1"), "{error}");
        fs::remove_dir_all(registry.home).unwrap();
    }
}
