//! A reference names a model: `churn` (what its alias `default` means), `churn/3`, `churn@champion`.

use std::fmt;

use super::error::{Result, bad_reference};

pub const DEFAULT: &str = "default";

#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub name: String,
    pub pointer: Pointer,
}

/// How the version is found: by number, or by the alias that points to it.
#[derive(Debug, Clone, PartialEq)]
pub enum Pointer {
    Version(u64),
    Alias(String),
}

impl Reference {
    pub fn parse(text: &str) -> Result<Reference> {
        let bad = || bad_reference(text);
        let (name, pointer) = if let Some((name, version)) = text.split_once('/') {
            let digits = !version.is_empty() && version.len() <= 9 && version.bytes().all(|b| b.is_ascii_digit());
            if !digits || version.starts_with('0') {
                return Err(bad());
            }
            (name, Pointer::Version(version.parse().map_err(|_| bad())?))
        } else if let Some((name, alias)) = text.split_once('@') {
            if !is_name(alias) {
                return Err(bad());
            }
            (name, Pointer::Alias(alias.to_lowercase()))
        } else {
            (text, Pointer::Alias(DEFAULT.to_string()))
        };
        if !is_name(name) {
            return Err(bad());
        }
        Ok(Reference { name: name.to_lowercase(), pointer })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pointer {
            Pointer::Version(version) => write!(f, "{}/{version}", self.name),
            Pointer::Alias(alias) if alias == DEFAULT => f.write_str(&self.name),
            Pointer::Alias(alias) => write!(f, "{}@{alias}", self.name),
        }
    }
}

pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && text.len() <= 63 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// predict_label() and predict_proba() are functions of our own, for every model.
const RESERVED: [&str; 2] = ["label", "proba"];

/// Whether it is the one spelling of a name, and not merely something that lies in the folder of models.
pub fn is_stored_name(text: &str) -> bool {
    is_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase()) && !RESERVED.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_writes() {
        for (text, written) in [
            ("Churn", "churn"),
            ("churn/3", "churn/3"),
            ("churn@Champion", "churn@champion"),
            ("churn@default", "churn"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        let long = "a".repeat(64);
        for text in ["", "1a", "a b", "a/0", "a/", "a/01", "a/x", "a@", "a@b/1", "é", "a/1234567890", &long] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
