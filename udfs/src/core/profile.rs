//! profile.json: statistics of the sample that a model was registered with, as sqlinfer/models/profile.py writes them.

use serde::Deserialize;

use super::error::{Code, Error, Result, brief};
use super::files::read_intact;
use super::manifest::{Manifest, damaged};

const FILE: &str = "profile.json";

#[derive(Debug, Deserialize)]
pub struct Profile {
    pub rows: u64,
    /// In the order of the model.
    pub features: Vec<FeatureProfile>,
}

#[derive(Debug, Deserialize)]
pub struct FeatureProfile {
    pub name: String,
    pub nulls: u64,
    pub numbers: Option<Numbers>,
    pub texts: Option<Texts>,
}

#[derive(Debug, Deserialize)]
pub struct Numbers {
    pub infinite: u64,
    /// One more than there are counts, ascending; the last bin holds its end.
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Texts {
    pub distinct: u64,
    /// The most frequent ones, and how often each was there.
    pub top: Vec<(String, u64)>,
}

impl Profile {
    /// `model`: as the query names it, for messages.
    pub fn of(manifest: &Manifest, model: &str) -> Result<Profile> {
        let sha256 = manifest.files.get(FILE).ok_or_else(|| {
            Error::of(
                Code::Call,
                format!(
                    "model '{model}' has no profile of its sample to compare with: register it again with a sample, and \
                     without --no-profile or profile=False"
                ),
            )
        })?;
        let path = manifest.folder.join(FILE);
        let content = read_intact(&path, sha256)?;
        let profile: Profile = serde_json::from_slice(&content).map_err(|e| damaged(&path, &brief(&e.to_string())))?;
        match profile.fault(&manifest.feature_names()) {
            Some(fault) => Err(damaged(&path, &fault)),
            None => Ok(profile),
        }
    }

    fn fault(&self, features: &[String]) -> Option<String> {
        if !self.features.iter().map(|feature| &feature.name).eq(features) {
            return Some("its features are not those of the model".to_string());
        }
        let of = |feature: &FeatureProfile, what: &str| Some(format!("{what} of {}", feature.name));
        self.features.iter().find_map(|feature| {
            if feature.nulls > self.rows {
                return of(feature, "the nulls");
            }
            let bins = feature.numbers.as_ref().map(|numbers| (numbers.edges.len(), numbers.counts.len()));
            if bins.is_some_and(|(edges, counts)| edges != counts + usize::from(counts > 0))
                || feature.numbers.as_ref().is_some_and(|numbers| !numbers.edges.is_sorted())
            {
                return of(feature, "the edges");
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told() {
        let fault = |feature: serde_json::Value| {
            let profile: Profile =
                serde_json::from_value(serde_json::json!({"rows": 2, "features": [feature]})).unwrap();
            profile.fault(&["a".to_string()])
        };
        let numbers = |edges: &[f64], counts: &[u64]| serde_json::json!({"name": "a", "nulls": 0, "numbers": {"infinite": 0, "edges": edges, "counts": counts}});
        assert_eq!(fault(numbers(&[1.0, 2.0], &[3])), None);
        assert_eq!(fault(numbers(&[], &[])), None);
        assert_eq!(fault(numbers(&[1.0], &[])).unwrap(), "the edges of a");
        assert_eq!(fault(numbers(&[2.0, 1.0], &[3])).unwrap(), "the edges of a");
        assert_eq!(fault(serde_json::json!({"name": "a", "nulls": 3})).unwrap(), "the nulls of a");
        assert!(fault(serde_json::json!({"name": "b", "nulls": 0})).is_some());
    }
}
