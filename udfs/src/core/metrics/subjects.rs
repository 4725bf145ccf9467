//! What rows are compared with: the samples of models, and the rows as they are read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::classes::Labels;
use crate::core::column::Column;
use crate::core::error::Result;
use crate::core::manifest::Manifest;
use crate::core::profile::{FeatureProfile, Profile};
use crate::core::reference::Reference;
use crate::core::registry::Registry;

/// Models whose profiles are kept.
const MOST_KNOWN: usize = 64;

/// What is known of the sample of one version of a model.
pub struct Known {
    pub manifest: Arc<Manifest>,
    pub features: Vec<Before>,
}

/// What a reference means, as long as a query that asked for it runs.
pub struct Subject {
    pub known: Arc<Known>,
    pub model: String,
}

/// All queries that run at the same time mean the same by a reference: no group of one may be of another version.
#[derive(Default)]
pub struct Subjects {
    running: Mutex<HashMap<String, Weak<Subject>>>,
    known: Mutex<Vec<Arc<Known>>>,
}

impl Known {
    pub fn is_of(&self, manifest: &Manifest) -> bool {
        let key = |manifest: &Manifest| (manifest.folder.clone(), manifest.digest.clone());
        key(&self.manifest) == key(manifest)
    }
}

/// How a feature was.
pub enum Before {
    /// `counts`: below the first edge, the bins, above the last one, infinite.
    Numbers { edges: Vec<f64>, counts: Vec<u64> },
    /// `counts`: of these categories, then of all others, of which `has_others` says whether the sample had any.
    Categories { places: HashMap<Box<[u8]>, usize>, counts: Vec<u64>, has_others: bool },
    /// A list, an image, or texts of which each is different.
    Other,
}

impl Before {
    pub fn of(feature: &FeatureProfile, rows: u64) -> Before {
        if let Some(numbers) = &feature.numbers
            && !numbers.counts.is_empty()
        {
            let counts = [&[0], &numbers.counts[..], &[0, numbers.infinite]].concat();
            return Before::Numbers { edges: numbers.edges.clone(), counts };
        }
        let Some(texts) = &feature.texts else { return Before::Other };
        let all = rows - feature.nulls;
        let top: u64 = texts.top.iter().map(|(_, count)| count).sum();
        let has_others = texts.distinct != texts.top.len() as u64;
        if all == 0 || (has_others && top < all.div_ceil(2)) {
            return Before::Other;
        }
        let places = texts.top.iter().enumerate().map(|(i, (text, _))| (text.as_bytes().into(), i)).collect();
        let counts = texts.top.iter().map(|(_, count)| *count).chain([all.saturating_sub(top)]).collect();
        Before::Categories { places, counts, has_others }
    }
}

impl Subjects {
    pub fn of(&self, registry: &Registry, reference: &str) -> Result<Arc<Subject>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subject) = running.get(reference).and_then(Weak::upgrade) {
            return Ok(subject);
        }
        let parsed = Reference::parse(reference)?;
        let model = parsed.to_string();
        let known = self.known(registry.get(&parsed)?, &model)?;
        let subject = Arc::new(Subject { known, model });
        running.retain(|_, subject| subject.strong_count() > 0);
        running.insert(reference.to_string(), Arc::downgrade(&subject));
        Ok(subject)
    }

    fn known(&self, manifest: Arc<Manifest>, model: &str) -> Result<Arc<Known>> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&Arc<Known>| known.is_of(&manifest);
        if let Some(known) = all.iter().find(is_it) {
            return Ok(known.clone());
        }
        let profile = Profile::of(&manifest, model)?;
        let features = profile.features.iter().map(|feature| Before::of(feature, profile.rows)).collect();
        let known = Arc::new(Known { manifest, features });
        if all.len() == MOST_KNOWN {
            all.remove(0);
        }
        all.push(known.clone());
        Ok(known)
    }
}

/// The features of rows.
pub struct Features<'a> {
    pub subject: Arc<Subject>,
    pub columns: Vec<Feature<'a>>,
}

pub struct Feature<'a> {
    pub column: &'a Column<'a>,
    pub values: FeatureValues<'a>,
}

pub enum FeatureValues<'a> {
    Numbers(Cow<'a, [f64]>),
    Texts(Labels<'a>),
    /// Only whether there is one.
    Other,
}
