//! The messages, each phrased once: what happened, where, what to do. The same phrases as in the Python package.

use super::literals::text_literal;
pub use crate::sys::error::{Code, Error, Result};

pub fn bad_reference(text: &str) -> Error {
    Error::of(
        Code::BadReference,
        format!(
            "'{text}' does not name a model: write 'name', 'name/3' (a version) or 'name@champion' (an alias); \
         names match [A-Za-z_][A-Za-z0-9_]* and have at most 63 characters"
        ),
    )
}

pub fn reference_not_constant(call: &str) -> Error {
    Error::of(
        Code::Call,
        format!(
            "{call}: the model name must be a constant text, such as {call}('churn', …); it says which function to prepare"
        ),
    )
}

pub fn no_model_named(function: &str) -> Error {
    Error::of(Code::Call, format!("{function}() needs the name of a model, such as {function}('churn')"))
}

pub fn no_table(function: &str, reference: &str) -> Error {
    let reference = text_literal(reference);
    Error::of(
        Code::Call,
        format!(
            "{function}() answers a value for each row, and is no table: write SELECT *, {function}({reference}, t) FROM \
         a_table t; a_table may be a file, such as 'rows.parquet', or a query in parentheses"
        ),
    )
}

pub fn subquery(call: &str) -> Error {
    Error::of(
        Code::Call,
        format!(
            "{call}: an argument holds a subquery, which DuckDB does not show to extensions; put it into FROM, such as \
         SELECT {call}(…, s.x) FROM (SELECT … AS x) s"
        ),
    )
}

pub fn no_model(name: &str, existing: &[String], home: &str) -> Error {
    if existing.is_empty() {
        return Error::of(
            Code::ModelNotFound,
            format!(
                "no model named '{name}': the registry {home} is empty; add one with 'sqlinfer register NAME FILE'"
            ),
        );
    }
    Error::of(Code::ModelNotFound, format!("no model named '{name}' in {home}; {}", suggest(name, existing, "models")))
}

pub fn no_version(name: &str, version: u64, existing: &[u64]) -> Error {
    let listed: Vec<String> = existing.iter().map(u64::to_string).collect();
    Error::of(Code::ModelNotFound, format!("model '{name}' has no version {version}; versions: {}", named(&listed)))
}

pub fn no_alias(name: &str, alias: &str, existing: &[String]) -> Error {
    Error::of(
        Code::ModelNotFound,
        format!("model '{name}' has no alias '{alias}'; {}", suggest(alias, existing, "aliases")),
    )
}

pub fn no_answer(reference: &str, call: &str, offers: &[String]) -> Error {
    let offers: Vec<String> = offers.iter().map(|offer| format!("{offer}()")).collect();
    Error::of(Code::ModelNotFound, format!("model '{reference}' has no {call}(): it answers {}", offers.join(", ")))
}

pub fn missing_features(model: &str, missing: &[String], expected: &[String]) -> Error {
    let word = if missing.len() == 1 { "feature" } else { "features" };
    Error::of(
        Code::MissingFeature,
        format!("model '{model}' needs the {word} {}, not given; it takes: {}", named(missing), named(expected)),
    )
}

pub fn feature_twice(model: &str, name: &str) -> Error {
    Error::of(
        Code::UnknownFeature,
        format!("model '{model}': the feature '{name}' is given twice; give each feature once"),
    )
}

pub fn unknown_feature(model: &str, name: &str, expected: &[String]) -> Error {
    Error::of(
        Code::UnknownFeature,
        format!("model '{model}' has no feature '{name}'; {}", suggest(name, expected, "it takes")),
    )
}

pub fn name_every_feature(model: &str, expected: &[String]) -> Error {
    Error::of(Code::Call, format!("model '{model}': name every feature or none; it takes: {}", named(expected)))
}

/// As `name_every_feature`, where each row names its model.
pub fn name_every_argument(call: &str) -> Error {
    Error::of(Code::Call, format!("{call}: name every feature behind the model or none, or give a row"))
}

/// As `other_order`, where each row names its model.
pub fn other_orders(call: &str) -> Error {
    Error::of(
        Code::Call,
        format!(
            "{call}: two calls of this statement have their features in different orders, and DuckDB 1.5 takes calls of the \
         same values for one, whatever they are named; write the features of all in one order, or give rows"
        ),
    )
}

/// What a model answers does not fit a call that must answer for every model.
pub fn other_answer(call: &str, model: &str, answers: &str, own: &str, is_plain: bool) -> Error {
    let other = if is_plain { "predict_label(…), or " } else { "" };
    let constant = if call == "predict_label" { "predict" } else { call };
    Error::of(
        Code::Call,
        format!(
            "{call}() answers {answers} where each row names its model, and the model '{model}' answers {own}: call \
         {other}{constant}('{model}', …) with the name as a constant"
        ),
    )
}

pub fn no_text_for_model(call: &str, given: &str) -> Error {
    Error::of(
        Code::Call,
        format!("{call}: the model's name is a text, such as 'churn' or 'churn/3', and the argument is {given}"),
    )
}

const INEXACT: &str = "it answers an integer that DOUBLE does not hold";

/// An integer that the model answers where it is asked for DOUBLE; `of_model` names it.
pub fn inexact(value: i128) -> Error {
    Error::of(
        Code::ModelFailed,
        format!(
            "{INEXACT}, {value}; integers are exact up to 9007199254740992: call predict_label(…), or give the model's \
         name as a constant"
        ),
    )
}

pub fn of_model(model: &str, error: Error) -> Error {
    if error.text.starts_with(INEXACT) { model_failed(model, &error.text) } else { error }
}

/// A column of one feature's name, where another feature is expected.
pub fn other_order(model: &str, features: &[String]) -> Error {
    Error::of(
        Code::Call,
        format!(
            "model '{model}': two calls of this statement have their features in different orders, and DuckDB 1.5 takes calls of the \
         same values for one, whatever they are named; write the features of all in this order, or give rows: {}",
            features.join(", ")
        ),
    )
}

pub fn misplaced_feature(model: &str, name: &str, place: &str, expected: &[String]) -> Error {
    let fields: Vec<String> = expected.iter().map(|name| format!("'{name}': …")).collect();
    Error::of(
        Code::Call,
        format!(
            "model '{model}': '{name}' stands where '{place}' is expected, and this DuckDB does not tell whether it is given by \
         name or by position; give the features in a row, {{{}}}, or in this order: {}",
            named(&fields),
            named(expected)
        ),
    )
}

/// Where a list stands for all features, or names may stand before them that the host does not tell.
pub fn row_needed(model: &str, expected: &[String]) -> Error {
    let fields: Vec<String> = expected.iter().map(|name| format!("'{name}': …")).collect();
    Error::of(
        Code::Call,
        format!(
            "model '{model}': an aggregate of this DuckDB does not see what its arguments are called; give the features in a \
         row, such as a table's name or {{{}}}",
            named(&fields)
        ),
    )
}

pub fn class_not_constant(model: &str, classes: &[String]) -> Error {
    Error::of(
        Code::Call,
        format!("model '{model}': the class must be a constant, the last argument; classes: {}", named(classes)),
    )
}

pub fn unknown_class(model: &str, class: &str, classes: &[String]) -> Error {
    Error::of(Code::Call, format!("model '{model}' has no class '{class}'; {}", suggest(class, classes, "classes")))
}

pub fn feature_count(model: &str, given: usize, expected: &[String]) -> Error {
    Error::of(
        Code::FeatureCount,
        format!(
            "model '{model}' takes {} features, {given} given; it takes, in this order: {}",
            expected.len(),
            named(expected)
        ),
    )
}

pub fn list_width(model: &str, given: usize, expected: usize) -> Error {
    Error::of(Code::FeatureCount, format!("model '{model}' takes a list of {expected} values; a row has {given}"))
}

pub fn feature_type(model: &str, feature: &str, given: &str, expected: &str, fix: &str) -> Error {
    Error::of(
        Code::FeatureType,
        format!("model '{model}': feature '{feature}' is {expected}, but the argument is {given}; {fix}"),
    )
}

/// All that are wrong at once; of very many the first ones.
pub fn several_types(model: &str, wrong: Vec<Error>) -> Error {
    const MOST: usize = 8;
    let prefix = format!("model '{model}': ");
    let texts = wrong.iter().take(MOST).enumerate().map(|(i, Error { text, .. })| match i {
        0 => text.clone(),
        _ => text.strip_prefix(&prefix).unwrap_or(text).to_string(),
    });
    let more = (wrong.len() > MOST).then(|| format!("and {} more", wrong.len() - MOST));
    Error::of(Code::FeatureType, texts.chain(more).collect::<Vec<_>>().join("; "))
}

pub fn null_feature(model: &str, feature: &str) -> Error {
    Error::of(
        Code::NullFeature,
        format!(
            "model '{model}': feature '{feature}' is NULL and its null policy is 'error'; \
         filter with WHERE {feature} IS NOT NULL, or register with another policy"
        ),
    )
}

pub fn refused_value(model: &str, feature: &str, value: &str, says: &str) -> Error {
    Error::of(Code::Feature, format!("model '{model}': feature '{feature}' is {value}, which is refused: {says}"))
}

pub fn unreadable_image(model: &str, feature: &str, reason: &str) -> Error {
    Error::of(
        Code::Feature,
        format!(
            "model '{model}': feature '{feature}': an image cannot be read ({reason}); \
         give PNG or JPEG files, or write TRY(predict(…)) for NULL in its place"
        ),
    )
}

pub fn unreadable_text(model: &str, feature: &str, reason: &str) -> Error {
    Error::of(
        Code::Feature,
        format!(
            "model '{model}': feature '{feature}': a text cannot be made into tokens ({reason}); \
         give another text, or write TRY(predict(…)) for NULL in its place"
        ),
    )
}

pub fn model_failed(model: &str, reason: &str) -> Error {
    Error::of(
        Code::ModelFailed,
        format!("model '{model}' failed: {}", refusal(reason).map_or_else(|| brief(reason), str::to_string)),
    )
}

/// What a graph says of the rows that it refuses: a node that cannot run then has that for a name, which ONNX Runtime
/// says.
fn refusal(reason: &str) -> Option<&str> {
    let (_, said) = reason.split_once("Name:'refuses ")?.1.split_once(": ")?;
    said.split_once("' Status Message: ").map(|(said, _)| said)
}

/// ONNX Runtime's message on one line, and not endless.
pub fn brief(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(600) {
        Some((end, _)) => line[..end].to_string(),
        None => line,
    }
}

/// A list for a message: all names, or the first forty and how many more there are.
pub fn named(names: &[String]) -> String {
    const MOST: usize = 40;
    if names.is_empty() {
        return "none".to_string();
    }
    let shown = names[..names.len().min(MOST)].join(", ");
    match names.len() {
        n if n > MOST => format!("{shown}, … ({} more)", n - MOST),
        _ => shown,
    }
}

fn suggest(word: &str, existing: &[String], what: &str) -> String {
    let word = word.to_lowercase();
    let likeness = |name: &String| {
        let longest = word.chars().count().max(name.chars().count()).max(1);
        1.0 - distance(&word, name) as f64 / longest as f64
    };
    let close = existing
        .iter()
        .map(|name| (likeness(name), name))
        .filter(|(alike, _)| *alike >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = close.map_or(String::new(), |(_, name)| format!("did you mean '{name}'? "));
    format!("{hint}{what}: {}", named(existing))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_model_names_the_nearest() {
        let existing = ["churn".to_string(), "iris".to_string()];
        let text = no_model("chrun", &existing, "/r").to_string();
        assert_eq!(text, "no model named 'chrun' in /r; did you mean 'churn'? models: churn, iris");
        assert!(no_model("x", &[], "/r").to_string().contains("is empty"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..50).map(|i| format!("f{i}")).collect();
        assert!(named(&names).ends_with("f39, … (10 more)"));
    }
}
