//! Values that a feature refuses: `guards` in model.json.

use std::collections::HashSet;

use serde::Deserialize;

/// As model.json has it.
#[derive(Debug, Deserialize)]
pub struct GuardFields {
    refuse: String,
    #[serde(default)]
    bound: Option<f64>,
    #[serde(default)]
    known: Vec<Known>,
    says: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Known {
    Number(f64),
    Text(String),
}

/// What the values of a feature are to its guards.
#[derive(Clone, Copy, PartialEq)]
pub enum Takes {
    Numbers,
    Texts,
    /// Lists of floating-point numbers.
    Floats,
    Nothing,
}

#[derive(Debug)]
enum Refused {
    Nan,
    Infinite,
    Below(f64),
    Above(f64),
    Fraction,
    OtherNumber(Vec<f64>),
    Empty,
    Blank,
    NotAscii,
    Longer(usize),
    OtherText(HashSet<String>),
    These(HashSet<String>),
}

/// What is refused, and what is said of it: what the model does there, and what to write instead.
#[derive(Debug)]
pub struct Guard {
    refused: Refused,
    pub says: String,
}

/// The guards of one feature. What lies in `low..=high` is no number that a bound refuses.
#[derive(Debug)]
pub struct Guards {
    guards: Vec<Guard>,
    low: f64,
    high: f64,
    looks_closer: bool,
}

impl Guards {
    /// `Err`: what a guard refuses that does not fit.
    pub fn parse(fields: Vec<GuardFields>, takes: Takes) -> Result<Guards, String> {
        let guards = fields.into_iter().map(|fields| Guard::parse(fields, takes)).collect::<Result<Vec<_>, _>>()?;
        let any = |wanted: fn(&Refused) -> bool| guards.iter().any(|guard| wanted(&guard.refused));
        let (mut low, mut high) = match any(|refused| matches!(refused, Refused::Infinite)) {
            true => (f64::MIN, f64::MAX),
            false => (f64::NEG_INFINITY, f64::INFINITY),
        };
        for guard in &guards {
            match guard.refused {
                Refused::Below(bound) => low = low.max(bound),
                Refused::Above(bound) => high = high.min(bound),
                _ => {}
            }
        }
        let looks_closer = any(|refused| matches!(refused, Refused::Fraction | Refused::OtherNumber(_)));
        Ok(Guards { guards, low, high, looks_closer })
    }

    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// Whether all are such that a number is refused.
    #[inline(always)]
    pub fn pass(&self, values: impl Iterator<Item = f64>) -> bool {
        let (low, high) = (self.low, self.high);
        !self.looks_closer && !values.fold(false, |odd, x| odd | !(x >= low && x <= high))
    }

    pub fn number(&self, value: f64) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.refused.number(value))
    }

    pub fn text(&self, value: &str) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.refused.text(value))
    }
}

impl Guard {
    fn parse(fields: GuardFields, takes: Takes) -> Result<Guard, String> {
        let GuardFields { refuse, bound, known, says } = fields;
        let texts = || known.iter().map(|one| if let Known::Text(text) = one { Some(text.clone()) } else { None });
        let plain = || known.iter().map(|one| if let Known::Number(number) = one { Some(*number) } else { None });
        let refused = match (refuse.as_str(), takes) {
            ("nan", Takes::Numbers | Takes::Floats) => Some(Refused::Nan),
            ("infinite", Takes::Numbers | Takes::Floats) => Some(Refused::Infinite),
            ("below", Takes::Numbers | Takes::Floats) => bound.map(Refused::Below),
            ("above", Takes::Numbers | Takes::Floats) => bound.map(Refused::Above),
            ("fraction", Takes::Numbers) => Some(Refused::Fraction),
            ("other", Takes::Numbers) if !known.is_empty() => plain().collect::<Option<Vec<f64>>>().map(|mut known| {
                known.sort_unstable_by(f64::total_cmp);
                Refused::OtherNumber(known)
            }),
            ("empty", Takes::Texts) => Some(Refused::Empty),
            ("blank", Takes::Texts) => Some(Refused::Blank),
            ("not_ascii", Takes::Texts) => Some(Refused::NotAscii),
            ("longer", Takes::Texts) => bound
                .filter(|bound| bound.fract() == 0.0 && (0.0..2f64.powi(31)).contains(bound))
                .map(|bound| Refused::Longer(bound as usize)),
            ("these", Takes::Texts) if !known.is_empty() => texts().collect::<Option<_>>().map(Refused::These),
            ("other", Takes::Texts) if !known.is_empty() => texts().collect::<Option<_>>().map(Refused::OtherText),
            _ => None,
        };
        Ok(Guard { refused: refused.ok_or(refuse)?, says })
    }
}

impl Refused {
    fn number(&self, value: f64) -> bool {
        match self {
            Refused::Nan => value.is_nan(),
            Refused::Infinite => value.is_infinite(),
            Refused::Below(bound) => value < *bound,
            Refused::Above(bound) => value > *bound,
            Refused::Fraction => value.is_finite() && value.fract() != 0.0,
            Refused::OtherNumber(known) => {
                let place = known.partition_point(|one| *one < value);
                known.get(place) != Some(&value)
            }
            _ => false,
        }
    }

    fn text(&self, value: &str) -> bool {
        match self {
            Refused::Empty => value.is_empty(),
            Refused::Blank => !value.is_empty() && value.chars().all(is_blank),
            Refused::NotAscii => !value.is_ascii(),
            Refused::Longer(most) => value.len() > *most && value.chars().count() > *most,
            Refused::OtherText(known) => !known.contains(value),
            Refused::These(known) => known.contains(value),
            _ => false,
        }
    }
}

/// As Python has it: the separators of ASCII are blanks, too.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(fields: serde_json::Value, takes: Takes) -> Result<Guards, String> {
        let fields: Vec<GuardFields> = serde_json::from_value(fields).map_err(|e| e.to_string())?;
        Guards::parse(fields, takes)
    }

    #[test]
    fn numbers_are_refused_by_kind() {
        let one = |fields: serde_json::Value| {
            let mut fields = fields;
            fields["says"] = "no".into();
            guards(serde_json::json!([fields]), Takes::Numbers).unwrap()
        };
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -7.0, 7.0, 0.5, -0.0];
        for (fields, refused) in [
            (serde_json::json!({"refuse": "nan"}), vec![0]),
            (serde_json::json!({"refuse": "infinite"}), vec![1, 2]),
            (serde_json::json!({"refuse": "below", "bound": -6}), vec![2, 3]),
            (serde_json::json!({"refuse": "above", "bound": 6.5}), vec![1, 4]),
            (serde_json::json!({"refuse": "fraction"}), vec![5]),
            (serde_json::json!({"refuse": "other", "known": [7, 0, -7.0]}), vec![0, 1, 2, 5]),
        ] {
            let guards = one(fields.clone());
            let found: Vec<usize> = (0..odd.len()).filter(|i| guards.number(odd[*i]).is_some()).collect();
            assert_eq!(found, refused, "{fields}");
            assert!(!guards.pass(odd.iter().copied()));
        }
        let finite = one(serde_json::json!({"refuse": "infinite"}));
        assert!(finite.pass([1.0, f64::MAX].into_iter()) && !finite.pass([1.0, f64::INFINITY].into_iter()));
    }

    #[test]
    fn texts_are_refused_by_kind() {
        let odd = ["", " \u{a0}", "é", "Bern", "a\u{1f}", "\u{1f}"];
        for (fields, refused) in [
            (serde_json::json!({"refuse": "empty", "says": ""}), vec![0]),
            (serde_json::json!({"refuse": "blank", "says": ""}), vec![1, 5]),
            (serde_json::json!({"refuse": "not_ascii", "says": ""}), vec![1, 2]),
            (serde_json::json!({"refuse": "longer", "bound": 1, "says": ""}), vec![1, 3, 4]),
            (serde_json::json!({"refuse": "other", "known": ["Bern", "é"], "says": ""}), vec![0, 1, 4, 5]),
            (serde_json::json!({"refuse": "these", "known": ["Bern", "é"], "says": ""}), vec![2, 3]),
        ] {
            let guards = guards(serde_json::json!([fields.clone()]), Takes::Texts).unwrap();
            let found: Vec<usize> = (0..odd.len()).filter(|i| guards.text(odd[*i]).is_some()).collect();
            assert_eq!(found, refused, "{fields}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (fields, takes) in [
            (serde_json::json!({"refuse": "magic", "says": ""}), Takes::Numbers),
            (serde_json::json!({"refuse": "nan", "says": ""}), Takes::Texts),
            (serde_json::json!({"refuse": "fraction", "says": ""}), Takes::Floats),
            (serde_json::json!({"refuse": "nan", "says": ""}), Takes::Nothing),
            (serde_json::json!({"refuse": "above", "says": ""}), Takes::Numbers),
            (serde_json::json!({"refuse": "longer", "bound": 1.5, "says": ""}), Takes::Texts),
            (serde_json::json!({"refuse": "other", "known": [], "says": ""}), Takes::Texts),
            (serde_json::json!({"refuse": "other", "known": ["a"], "says": ""}), Takes::Numbers),
            (serde_json::json!({"refuse": "nan"}), Takes::Numbers),
        ] {
            assert!(guards(serde_json::json!([fields.clone()]), takes).is_err(), "{fields}");
        }
    }
}
