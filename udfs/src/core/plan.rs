//! How arguments of certain types become the features of a model: by position, a row by name, or one list.
//! Everything that can be wrong with the types is found here, before any row is read.

use std::collections::HashMap;
use std::sync::Arc;

use super::column::{Column, Data};
use super::error::{Code, Error, Result, feature_count, feature_twice, feature_type, missing_features, several_types};
use super::manifest::preprocess::Prepare;
use super::manifest::{Feature, Input, Manifest};
use super::sqltype::{ArgType, Number};
use crate::sys::tensor::Dtype;

#[derive(Debug)]
pub struct Plan {
    /// The model as the query names it, for messages.
    pub model: String,
    pub manifest: Arc<Manifest>,
    pub form: ArgLayout,
    /// One a feature; in the form of a list, only one.
    pub readers: Vec<Reader>,
}

#[derive(Debug)]
pub enum ArgLayout {
    Position,
    /// The only argument is a row; for each feature the field that holds it.
    Row(Vec<usize>),
    /// The only argument is a list of all features.
    List,
}

/// How an argument is read, and what it is called in messages.
#[derive(Debug)]
pub struct Reader {
    pub kind: ReaderKind,
    pub given: String,
}

#[derive(Debug)]
pub enum ReaderKind {
    Number(Number),
    Text(Option<Arc<Vec<String>>>),
    /// An argument without a type: every row is NULL.
    Null,
    /// Lists or arrays, nested or flat, of what this kind reads; or bytes.
    Cells(Box<ReaderKind>),
    Bytes,
}

impl Plan {
    /// The arguments as one column for each feature; not for the form of a list.
    pub fn columns<'a, 'b>(&self, arguments: &'a [Column<'b>]) -> Vec<&'a Column<'b>> {
        match (&self.form, arguments) {
            (ArgLayout::Row(places), [Column { data: Data::Struct(fields), .. }, ..]) => {
                places.iter().map(|i| &fields[*i]).collect()
            }
            _ => arguments.iter().collect(),
        }
    }

    pub fn new(model: &str, manifest: Arc<Manifest>, given: &[ArgType]) -> Result<Plan> {
        let features = &manifest.features;
        let (form, readers) = match given {
            [ArgType::Struct(fields)] => {
                let places = places(model, &manifest, fields)?;
                let given: Vec<&ArgType> = places.iter().map(|i| &fields[*i].1).collect();
                (ArgLayout::Row(places), readers(model, &manifest, &given)?)
            }
            [list] if list.is_list() && manifest.takes_list() => {
                let fits = |size: usize| size == features.len();
                if let ArgType::Array(child, size) = list
                    && !child.is_list()
                    && !fits(*size)
                {
                    return Err(Error::of(
                        Code::FeatureCount,
                        format!("model '{model}' takes a list of {} values; the array has {size}", features.len()),
                    ));
                }
                let kind = value(model, &features[0], &manifest.inputs[0], list.leaf())?;
                let reader = Reader { kind, given: list.leaf().to_string() };
                (ArgLayout::List, vec![reader])
            }
            _ if given.len() != features.len() => {
                return Err(feature_count(model, given.len(), &manifest.feature_names()));
            }
            _ => {
                let given: Vec<&ArgType> = given.iter().collect();
                (ArgLayout::Position, readers(model, &manifest, &given)?)
            }
        };
        Ok(Plan { model: model.to_string(), manifest, form, readers })
    }
}

fn places(model: &str, manifest: &Manifest, fields: &[(String, ArgType)]) -> Result<Vec<usize>> {
    let mut by_name: HashMap<String, (usize, bool)> = HashMap::new();
    for (i, (name, _)) in fields.iter().enumerate() {
        by_name.entry(name.to_lowercase()).and_modify(|(_, twice)| *twice = true).or_insert((i, false));
    }
    let mut places = Vec::new();
    let mut missing = Vec::new();
    for feature in &manifest.features {
        match by_name.get(&feature.name.to_lowercase()) {
            Some((place, false)) => places.push(*place),
            Some((_, true)) => return Err(feature_twice(model, &feature.name)),
            None => missing.push(feature.name.clone()),
        }
    }
    if missing.is_empty() {
        return Ok(places);
    }
    Err(missing_features(model, &missing, &manifest.feature_names()))
}

fn readers(model: &str, manifest: &Manifest, given: &[&ArgType]) -> Result<Vec<Reader>> {
    let one = |(feature, given): (&Feature, &&ArgType)| {
        let input = &manifest.inputs[feature.input];
        let kind = if let Some(prepare) = &feature.prepare {
            prepared(model, feature, prepare, given)?
        } else if feature.column.is_some() || input.axes.is_empty() {
            value(model, feature, input, given)?
        } else {
            cells(model, feature, input, given)?
        };
        Ok(Reader { kind, given: given.leaf().to_string() })
    };
    let (readers, wrong): (Vec<_>, Vec<_>) = manifest.features.iter().zip(given).map(one).partition(Result::is_ok);
    match wrong.is_empty() {
        true => readers.into_iter().collect(),
        false => Err(several_types(model, wrong.into_iter().filter_map(Result::err).collect())),
    }
}

/// How one value for each row is read.
fn value(model: &str, feature: &Feature, input: &Input, given: &ArgType) -> Result<ReaderKind> {
    match (given, input.dtype) {
        (ArgType::Null, _) => Ok(ReaderKind::Null),
        (ArgType::Text, Dtype::Text) => Ok(ReaderKind::Text(None)),
        (ArgType::Enum(words), Dtype::Text) => Ok(ReaderKind::Text(Some(words.read()))),
        (ArgType::Number(number), dtype) if dtype != Dtype::Text => Ok(ReaderKind::Number(*number)),
        _ => {
            let name = &feature.name;
            let fix = match given {
                ArgType::Temporal(_) => {
                    format!("take the number you mean, such as epoch({name}) or month({name})")
                }
                ArgType::List(_) | ArgType::Array(..) | ArgType::Struct(_) | ArgType::Other("MAP") => {
                    "give one value for each feature".to_string()
                }
                ArgType::Number(Number::Boolean) if input.dtype == Dtype::Text => {
                    format!("write the texts that the model knows, such as CASE WHEN {name} THEN 'yes' ELSE 'no' END")
                }
                _ => format!("write CAST({name} AS {})", feature.sql_type),
            };
            Err(feature_type(model, name, &given.to_string(), &feature.sql_type, &fix))
        }
    }
}

/// How a text or an image is read.
fn prepared(model: &str, feature: &Feature, prepare: &Prepare, given: &ArgType) -> Result<ReaderKind> {
    match (prepare, given) {
        (_, ArgType::Null) => Ok(ReaderKind::Null),
        (Prepare::Image(_), ArgType::Blob) => Ok(ReaderKind::Bytes),
        (Prepare::Text(_) | Prepare::Words(_), ArgType::Text) => Ok(ReaderKind::Text(None)),
        (Prepare::Text(_) | Prepare::Words(_), ArgType::Enum(words)) => Ok(ReaderKind::Text(Some(words.read()))),
        _ => Err(feature_type(model, &feature.name, &given.to_string(), &feature.sql_type, prepare.asks_for())),
    }
}

/// How a feature that is a whole tensor is read.
fn cells(model: &str, feature: &Feature, input: &Input, given: &ArgType) -> Result<ReaderKind> {
    match given {
        ArgType::Null => return Ok(ReaderKind::Null),
        ArgType::Blob if input.dtype == Dtype::U8 => return Ok(ReaderKind::Bytes),
        _ if given.is_list() => {}
        _ => {
            let fix = "give a list, such as [1.0, 2.0]";
            let (name, given) = (&feature.name, given.to_string());
            return Err(feature_type(model, name, &given, &feature.sql_type, fix));
        }
    }
    let sizes = sizes(given);
    let fixed: Option<usize> = input.axes.iter().copied().product();
    let wrong = if sizes.len() == input.axes.len() {
        sizes.iter().zip(&input.axes).any(|(size, axis)| matches!((size, axis), (Some(s), Some(a)) if s != a))
    } else {
        let given: Option<usize> = sizes.iter().copied().product();
        matches!((given, fixed), (Some(given), Some(fixed)) if given != fixed)
    };
    if wrong {
        let (name, given) = (&feature.name, given.to_string());
        let fix = "give an array of that length";
        return Err(feature_type(model, name, &given, &feature.sql_type, fix));
    }
    Ok(ReaderKind::Cells(Box::new(value(model, feature, input, given.leaf())?)))
}

/// The lengths of nested arrays, outermost first; None for a list.
fn sizes(given: &ArgType) -> Vec<Option<usize>> {
    let (own, child) = match given {
        ArgType::List(child) => (None, child),
        ArgType::Array(child, size) => (Some(*size), child),
        _ => return Vec::new(),
    };
    let mut all = vec![own];
    all.extend(sizes(child));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::manifest::tests::{parsed, sample};
    use crate::core::sqltype::Words;

    const NUMBER: ArgType = ArgType::Number(Number::Double);

    fn plan(given: &[ArgType]) -> Result<Plan> {
        Plan::new("churn", Arc::new(parsed(sample()).unwrap()), given)
    }

    fn message(given: &[ArgType]) -> String {
        plan(given).unwrap_err().to_string()
    }

    #[test]
    fn rows_are_matched_by_name() {
        let field = |name: &str, given| (name.to_string(), given);
        let row = vec![
            field("x", ArgType::Temporal("DATE")),
            field("CITY", ArgType::Text),
            field("income", NUMBER),
            field("Age", NUMBER),
        ];
        let planned = plan(&[ArgType::Struct(row.clone())]).unwrap();
        assert!(matches!(planned.form, ArgLayout::Row(places) if places == [3, 2, 1]));
        assert_eq!(
            message(&[ArgType::Struct(row[..3].to_vec())]),
            "model 'churn' needs the feature age, not given; it takes: age, Income, city"
        );
        let twice = [row.clone(), row].concat();
        assert!(message(&[ArgType::Struct(twice)]).contains("'age' is given twice"));
    }

    #[test]
    fn wrong_types_name_the_cast() {
        assert!(message(&[NUMBER]).starts_with("model 'churn' takes 3 features, 1 given"));
        assert_eq!(
            message(&[ArgType::Text, NUMBER, ArgType::Text]),
            "model 'churn': feature 'age' is DOUBLE, but the argument is VARCHAR; write CAST(age AS DOUBLE)"
        );
        assert!(message(&[ArgType::Temporal("DATE"), NUMBER, ArgType::Text]).contains("epoch(age)"));
        assert!(message(&[NUMBER, NUMBER, NUMBER]).contains("CAST(city AS VARCHAR)"));
        assert!(
            message(&[NUMBER, NUMBER, ArgType::Number(Number::Boolean)])
                .ends_with("CASE WHEN city THEN 'yes' ELSE 'no' END")
        );
        assert_eq!(
            message(&[ArgType::Text, NUMBER, NUMBER]),
            "model 'churn': feature 'age' is DOUBLE, but the argument is VARCHAR; write CAST(age AS DOUBLE); \
             feature 'city' is VARCHAR, but the argument is DOUBLE; write CAST(city AS VARCHAR)"
        );
    }

    #[test]
    fn only_the_words_of_features_are_read() {
        let used = || ArgType::Enum(Words::new(2, || vec!["a".to_string(), "b".to_string()]));
        let unused = || ArgType::Enum(Words::new(100_000, || panic!("no feature is of these words")));
        assert!(plan(&[NUMBER, ArgType::Null, used()]).is_ok());
        assert!(plan(&[NUMBER, unused(), used()]).is_err());
        let row = [("age", NUMBER), ("w", unused()), ("income", NUMBER), ("City", used())];
        let planned = plan(&[ArgType::Struct(row.map(|(name, given)| (name.to_string(), given)).to_vec())]).unwrap();
        assert!(matches!(&planned.readers[2].kind, ReaderKind::Text(Some(words)) if **words == ["a", "b"]));
    }

    #[test]
    fn whole_tensors_take_lists_of_their_length() {
        let mut fields = sample();
        fields["features"] = serde_json::json!([
            {"name": "image", "type": "UTINYINT[3][2]", "null": "null", "tensor": "X", "column": null}
        ]);
        fields["inputs"] = serde_json::json!([{"name": "X", "dtype": "uint8", "shape": [null, 2, 3]}]);
        let manifest = Arc::new(parsed(fields).unwrap());
        let fits = |given| Plan::new("m", manifest.clone(), &[given]).is_ok();
        let array = |child, size| ArgType::Array(Box::new(child), size);
        assert!(fits(ArgType::Blob));
        assert!(fits(ArgType::List(Box::new(NUMBER))));
        assert!(fits(array(array(NUMBER, 3), 2)));
        assert!(fits(array(NUMBER, 6)));
        assert!(!fits(array(array(NUMBER, 2), 3)));
        assert!(!fits(array(NUMBER, 5)));
        assert!(!fits(NUMBER));
        assert!(!fits(ArgType::List(Box::new(ArgType::Text))));
    }
}
