//! What a reader of model.json must know to answer as the model does; the same as in sqlinfer/models/needs.py.

use serde_json::Value;

use super::fields::quoted;
use crate::core::error::named;

const NEEDS: [&str; 7] = ["guards", "image", "image steps", "labelled", "shared", "tokens", "words"];
const LONGEST: usize = 40;

/// What is no version of sqlinfer.
pub fn bad_version(needs: &Value) -> Option<String> {
    let (name, version) = each(needs).find(|(_, version)| !is_version(version))?;
    Some(format!("the need {} of the version {}", quoted(name), quoted(version)))
}

/// Those that are not known, with the versions that know them.
pub fn unknown_needs(needs: &Value) -> Option<String> {
    let unknown = each(needs).filter(|(name, _)| !NEEDS.contains(name));
    let unknown: Vec<String> =
        unknown.map(|(name, version)| format!("{} (sqlinfer {version})", quoted(name))).collect();
    (!unknown.is_empty()).then(|| named(&unknown))
}

fn each(needs: &Value) -> impl Iterator<Item = (&str, &str)> {
    let needs = needs.as_object().into_iter().flatten();
    needs.map(|(name, version)| (name.as_str(), version.as_str().unwrap_or_default()))
}

fn is_version(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
    text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= LONGEST && text.chars().all(fits)
}
