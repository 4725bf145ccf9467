//! What SQL is told of models: the rows of `sqlinfer_models()`, `sqlinfer_versions()`, `sqlinfer_features()` and
//! `sqlinfer_functions()`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::calls;
use super::error::{Code, Error, Result};
use super::files::{read_intact, read_plain, unreadable};
use super::literals::text_literal;
use super::manifest::{Labels, MOST_BYTES, Manifest};
use super::reference::{DEFAULT, Pointer, Reference};
use super::registry::Registry;
use super::sqltype::SqlType;

/// The values of a column, of type VARCHAR, BIGINT, DOUBLE or VARCHAR[]; some may be NULL.
pub enum Values {
    Texts(Vec<String>),
    Integers(Vec<Option<i64>>),
    Doubles(Vec<Option<f64>>),
    Lists(Vec<Option<Vec<String>>>),
}

impl Values {
    fn integers(values: impl IntoIterator<Item = i64>) -> Values {
        Values::Integers(values.into_iter().map(Some).collect())
    }

    fn lists(values: impl IntoIterator<Item = Vec<String>>) -> Values {
        Values::Lists(values.into_iter().map(Some).collect())
    }
}

pub type Table = Vec<(&'static str, Values)>;

/// One row a version, by name and number.
pub fn models(registry: &Registry) -> Result<Table> {
    let (models, aliases): (Vec<_>, Vec<_>) = registry.all()?.into_iter().unzip();
    let texts = |of: fn(&Manifest) -> String| Values::Texts(models.iter().map(|model| of(model)).collect());
    Ok(vec![
        ("name", texts(|model| model.name.clone())),
        ("version", Values::integers(models.iter().map(|model| model.version as i64))),
        ("aliases", Values::lists(aliases)),
        ("task", texts(|model| model.task.clone())),
        ("features", texts(Manifest::shown_features)),
        ("result", texts(|model| model.calls.get("predict").map_or(String::new(), |call| call.sql_type.to_string()))),
        ("classes", Values::lists(models.iter().map(|model| classes(model)))),
        ("created", texts(|model| model.created.clone())),
        ("sha256", texts(|model| model.sha256.clone())),
    ])
}

/// One row a version, of one model or of all. Of a reference that says which version, that one.
pub fn versions(registry: &Registry, reference: Option<&Reference>) -> Result<Table> {
    let mut found = registry.all()?;
    if let Some(reference) = reference {
        found.retain(|(model, _)| model.name == reference.name);
        if !matches!(&reference.pointer, Pointer::Alias(alias) if alias == DEFAULT) || found.is_empty() {
            let asked = registry.get(reference)?.version;
            found.retain(|(model, _)| model.version == asked);
        }
    }
    let (models, aliases): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let told = models.iter().map(|model| Told::of(model)).collect::<Result<Vec<_>>>()?;
    let texts = |of: fn(&Manifest) -> String| Values::Texts(models.iter().map(|model| of(model)).collect());
    let sources = |of: fn(&Source) -> &Option<String>| {
        Values::Texts(told.iter().map(|told| of(&told.source).clone().unwrap_or_default()).collect())
    };
    let bytes = models.iter().map(|model| std::fs::metadata(model.onnx()).ok()?.len().try_into().ok());
    Ok(vec![
        ("name", texts(|model| model.name.clone())),
        ("version", Values::integers(models.iter().map(|model| model.version as i64))),
        ("aliases", Values::lists(aliases)),
        ("task", texts(|model| model.task.clone())),
        ("created", texts(|model| model.created.clone())),
        ("framework", sources(|source| &source.framework)),
        ("model", sources(|source| &source.model)),
        ("converter", sources(|source| &source.converter)),
        ("format", Values::integers(told.iter().map(|told| told.format))),
        ("bytes", Values::Integers(bytes.collect())),
        ("sha256", texts(|model| model.sha256.clone())),
        ("digest", texts(|model| model.digest.clone())),
    ])
}

fn classes(model: &Manifest) -> Vec<String> {
    model.labels.as_ref().map_or(Vec::new(), Labels::texts)
}

/// One row a feature, in the order of the model.
pub fn features(registry: &Registry, reference: &Reference) -> Result<Table> {
    let model = registry.get(reference)?;
    let Told { features, files, .. } = Told::of(&model)?;
    let path = model.folder.join(PROFILE);
    let profile = files.get(PROFILE).map(|sha256| Profile::of(&path, sha256)).transpose()?.unwrap_or_default();
    let profiles: Vec<Option<&FeatureProfile>> =
        features.iter().map(|feature| profile.features.iter().find(|one| one.name == feature.name)).collect();
    let number = |of: fn(&Numbers) -> Option<f64>| {
        Values::Doubles(profiles.iter().map(|one| of(one.as_ref()?.numbers.as_ref()?)).collect())
    };
    let shares = profiles.iter().map(|one| Some(one.as_ref()?.nulls as f64 / profile.rows.max(1) as f64));
    let distinct = profiles.iter().map(|one| one.as_ref()?.texts.as_ref()?.distinct.try_into().ok());
    let top = profiles
        .iter()
        .map(|one| Some(one.as_ref()?.texts.as_ref()?.top.iter().map(|(text, _)| text.clone()).collect()));
    let texts = |of: fn(&ToldFeature) -> String| Values::Texts(features.iter().map(of).collect());
    Ok(vec![
        ("position", Values::integers(1..=features.len() as i64)),
        ("name", texts(|feature| feature.name.clone())),
        ("type", texts(|feature| feature.sql_type.clone())),
        ("on_null", texts(ToldFeature::on_null)),
        ("refuses", Values::lists(features.iter().map(|feature| feature.guards.iter().map(Refusal::text).collect()))),
        ("null_rate", Values::Doubles(shares.collect())),
        ("min", number(|numbers| numbers.min)),
        ("max", number(|numbers| numbers.max)),
        ("mean", number(|numbers| numbers.mean)),
        ("median", number(|numbers| numbers.median)),
        ("stddev", number(|numbers| numbers.std)),
        ("categories", Values::Integers(distinct.collect())),
        ("most_common", Values::Lists(top.collect())),
    ])
}

/// One row a call, with a statement that runs as it stands.
pub fn functions(registry: &Registry, reference: &Reference) -> Result<Table> {
    let model = registry.get(reference)?;
    let row = Told::of(&model)?.row();
    let given = model.shown_features();
    let mut rows = Vec::new();
    for call in calls::typed() {
        let (name, Ok(spec)) = (call.name, call.of(&model)) else { continue };
        let asked = format!("{name}({}, {row}", text_literal(&reference.to_string()));
        rows.push([name.to_string(), given.clone(), spec.sql_type.to_string(), format!("SELECT {asked})")]);
        if let (true, SqlType::Map(_, value), Some(class)) = (call.takes_class, &spec.sql_type, classes(&model).last())
        {
            let example = format!("SELECT {asked}, {})", text_literal(class));
            rows.push([name.to_string(), format!("{given}, class VARCHAR"), value.to_string(), example]);
        }
    }
    let names = ["call", "arguments", "type", "example"];
    let column = |i: usize| Values::Texts(rows.iter().map(|row| row[i].clone()).collect());
    Ok(names.into_iter().enumerate().map(|(i, name)| (name, column(i))).collect())
}

/// What model.json says for people, in its own words.
struct Told {
    format: i64,
    source: Source,
    features: Vec<ToldFeature>,
    proof: ToldProof,
    /// What lies beside the model, with the sha256 of each.
    files: HashMap<String, String>,
}

/// Where it comes from.
#[derive(Deserialize, Default)]
struct Source {
    framework: Option<String>,
    model: Option<String>,
    converter: Option<String>,
}

const PROFILE: &str = "profile.json";

/// The statistics of the sample: see sqlinfer/models/profile.py.
#[derive(Deserialize, Default)]
struct Profile {
    rows: u64,
    features: Vec<FeatureProfile>,
}

#[derive(Deserialize)]
struct FeatureProfile {
    name: String,
    nulls: u64,
    numbers: Option<Numbers>,
    texts: Option<Texts>,
}

#[derive(Deserialize)]
struct Numbers {
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    std: Option<f64>,
    median: Option<f64>,
}

#[derive(Deserialize)]
struct Texts {
    distinct: u64,
    top: Vec<(String, u64)>,
}

impl Profile {
    fn of(path: &Path, sha256: &str) -> Result<Profile> {
        let damaged =
            |e| Error::of(Code::Registry, format!("{} is damaged ({e}); register the model again", path.display()));
        serde_json::from_slice(&read_intact(path, sha256)?).map_err(damaged)
    }
}

#[derive(Deserialize)]
struct ToldFeature {
    name: String,
    #[serde(rename = "type")]
    sql_type: String,
    null: Box<RawValue>,
    #[serde(default)]
    guards: Vec<Refusal>,
}

#[derive(Deserialize)]
struct StandsIn {
    value: Box<RawValue>,
}

impl ToldFeature {
    /// The policy, or the value that stands in for NULL.
    fn on_null(&self) -> String {
        match serde_json::from_str::<StandsIn>(self.null.get()) {
            Ok(stands_in) => literal(&stands_in.value, ""),
            Err(_) => self.null.get().trim_matches('"').to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    refuse: String,
    says: String,
}

impl Refusal {
    fn text(&self) -> String {
        format!("{}: {}", self.refuse, self.says)
    }
}

#[derive(Deserialize, Default)]
struct ToldProof {
    rows: Vec<Vec<Box<RawValue>>>,
}

/// A field of an object, of which the last counts that has the name.
fn part<T: DeserializeOwned + Default>(fields: &HashMap<String, Box<RawValue>>, name: &str) -> serde_json::Result<T> {
    fields.get(name).map_or_else(|| Ok(T::default()), |value| serde_json::from_str(value.get()))
}

impl Told {
    fn of(model: &Manifest) -> Result<Told> {
        let path = model.folder.join("model.json");
        let content = read_plain(&path, MOST_BYTES).map_err(|e| unreadable(&path, &e))?;
        let told = serde_json::from_slice(&content).and_then(|fields| {
            Ok(Told {
                format: part(&fields, "format")?,
                source: part(&fields, "source")?,
                features: part(&fields, "features")?,
                proof: part(&fields, "proof")?,
                files: part(&fields, "files")?,
            })
        });
        told.map_err(|e| Error::of(Code::Registry, format!("{} cannot be read ({e})", path.display())))
    }

    /// A row of the sample as a STRUCT, one without NULLs if there is one.
    fn row(&self) -> String {
        let rows = &self.proof.rows;
        let whole = rows.iter().find(|row| row.iter().all(|value| value.get() != "null")).or(rows.first());
        let value = |i: usize| whole.and_then(|row| row.get(i));
        let fields = self.features.iter().enumerate().map(|(i, feature)| {
            let value = value(i).map_or("NULL".to_string(), |value| literal(value, &feature.sql_type));
            format!("{}: {value}", text_literal(&feature.name))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }
}

/// A value of JSON as SQL writes it; the numbers of a BLOB are its bytes.
fn literal(value: &RawValue, sql_type: &str) -> String {
    let text = value.get();
    if text == "null" {
        return "NULL".to_string();
    }
    if let Ok(text) = serde_json::from_str::<String>(text) {
        return text_literal(&text);
    }
    match (sql_type, serde_json::from_str::<Vec<u8>>(text), serde_json::from_str::<Vec<Box<RawValue>>>(text)) {
        ("BLOB", Ok(bytes), _) => {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("unhex('{}')", digits.concat())
        }
        (_, _, Ok(items)) => {
            let items: Vec<String> = items.iter().map(|item| literal(item, "")).collect();
            format!("[{}]", items.join(", "))
        }
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_json_are_written_as_sql() {
        for (json, sql_type, sql) in [
            ("1e+16", "DOUBLE", "1e+16"),
            ("null", "DOUBLE", "NULL"),
            ("true", "BOOLEAN", "true"),
            (r#""it's \u00e9""#, "VARCHAR", "'it''s é'"),
            (r#"[[1, 2.5], [null]]"#, "DOUBLE[][]", "[[1, 2.5], [NULL]]"),
            (r#"["a", "b'"]"#, "VARCHAR[]", "['a', 'b''']"),
            ("[0, 255, 16]", "BLOB", "unhex('00ff10')"),
            ("[0, 255, 16]", "BIGINT[]", "[0, 255, 16]"),
        ] {
            let value = RawValue::from_string(json.to_string()).unwrap();
            assert_eq!(literal(&value, sql_type), sql);
        }
    }
}
