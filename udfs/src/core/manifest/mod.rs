//! model.json: everything that is known of one version of a model. Its fields are described in
//! sqlinfer/models/manifest.py, which writes it.

mod fields;
pub mod guards;
mod needs;
pub mod preprocess;
pub mod validate;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value, json};

use self::fields::{cut, fault, fault_of_manifest, quoted};
use self::guards::{GuardFields, Guards, Takes};
use self::needs::{bad_version, unknown_needs};
use self::preprocess::Prepare;
use crate::core::error::{Code, Error, Result, brief, class_not_constant, named, unknown_class};
use crate::core::files::{digest, unreadable};
use crate::core::sqltype::{ArgType, SqlType};
use crate::sys::tensor::Dtype;

const FORMATS: [u64; 2] = [1, 2];
/// The largest hold a few thousand weights, or rows with images; what is far larger is none of ours.
pub const MOST_BYTES: u64 = 64 << 20;
pub const MOST_LEVELS: usize = 64;

/// What is read here of what is written.
#[derive(Debug, Deserialize)]
struct File {
    name: String,
    version: u64,
    created: String,
    sha256: String,
    task: String,
    features: Vec<FeatureFields>,
    inputs: Vec<TensorFields>,
    outputs: Vec<OutputFields>,
    labels: Option<LabelFields>,
    calls: BTreeMap<String, CallFields>,
    batch: Batch,
    kernel: Value,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

impl File {
    fn of(manifest: Value) -> Result<File> {
        match fault_of_manifest(&manifest) {
            Some(fault) => Err(Error::new(fault)),
            None => serde_json::from_value(manifest).map_err(|e| Error::new(brief(&e.to_string()))),
        }
    }
}

#[derive(Debug, Deserialize)]
struct FeatureFields {
    name: String,
    #[serde(rename = "type")]
    sql_type: String,
    null: Value,
    tensor: String,
    column: Option<usize>,
    #[serde(default)]
    prepare: Value,
    #[serde(default)]
    guards: Vec<GuardFields>,
}

#[derive(Debug, Deserialize)]
struct TensorFields {
    name: String,
    dtype: String,
    shape: Vec<Option<usize>>,
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, Deserialize)]
struct OutputFields {
    name: String,
    dtype: String,
    shape: Vec<Option<usize>>,
    #[serde(rename = "type")]
    sql_type: String,
}

#[derive(Debug, Deserialize)]
struct LabelFields {
    #[serde(rename = "type")]
    sql_type: String,
    values: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct CallFields {
    #[serde(rename = "type")]
    sql_type: String,
    decode: String,
    outputs: Vec<String>,
}

/// Weighted sums of the columns of the only input.
#[derive(Debug, Clone, Deserialize)]
pub struct FormulaFields {
    /// [targets, features]
    pub weights: Vec<Vec<f64>>,
    pub intercepts: Vec<f64>,
}

/// How rows may be put together: exactly `fixed` at a time, and at most `most` different ones; last bits are the same
/// wherever a row lies in runs of multiples of `multiple`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Batch {
    pub fixed: Option<usize>,
    pub most: Option<usize>,
    #[serde(default = "one")]
    pub multiple: usize,
}

fn one() -> usize {
    1
}

impl Batch {
    /// How many rows a run has that answers `rows`: copies of the last one fill it up. One that is never beside another
    /// is always in the same place.
    pub fn filled(&self, rows: usize) -> usize {
        match (self.fixed, self.most) {
            (Some(fixed), _) => fixed.max(rows),
            (None, Some(1)) => rows,
            (None, _) => rows.next_multiple_of(self.multiple),
        }
    }

    /// Whether threads that share a run would end their parts where another number of them does not.
    pub fn is_one_thread(&self) -> bool {
        self.multiple > 1
    }
}

/// Said of a file that is not what it should be.
pub fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::of(Code::Registry, format!("{} is damaged ({reason}); register the model again", path.display()))
}

/// A field that may be null, but not missing.
pub fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> std::result::Result<Option<T>, D::Error> {
    Option::deserialize(field)
}

/// What a NULL is replaced by.
#[derive(Debug, Clone, PartialEq)]
pub enum StandIn {
    Number(f64),
    /// For a tensor of integers that holds it.
    Integer(i128),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum NullPolicy {
    Null,
    Error,
    Value(StandIn),
}

impl NullPolicy {
    /// The text that stands for NULL; an empty one where none does.
    pub fn text(&self) -> &[u8] {
        match self {
            NullPolicy::Value(StandIn::Text(text)) => text.as_bytes(),
            _ => &[],
        }
    }
}

#[derive(Debug)]
pub struct Feature {
    pub name: String,
    pub sql_type: String,
    pub null: NullPolicy,
    /// The graph input that it goes to, by number.
    pub input: usize,
    /// Its column there; None when it is the whole tensor.
    pub column: Option<usize>,
    /// What makes a tensor of the text or the image that it is.
    pub prepare: Option<Prepare>,
    /// Values that are refused.
    pub guards: Guards,
}

#[derive(Debug)]
pub struct Input {
    pub name: String,
    pub dtype: Dtype,
    /// The axes behind the batch axis; None is a free one.
    pub axes: Vec<Option<usize>>,
    /// A run takes one value of it, so that only rows of equal values may share a run.
    pub shared: bool,
}

/// An output of the graph, as it was seen to behave.
#[derive(Debug)]
pub struct Output {
    pub name: String,
    pub dtype: Dtype,
    /// The axes behind the batch axis.
    pub axes: Vec<Option<usize>>,
    pub sql_type: SqlType,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    Text(Vec<String>),
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
}

impl Labels {
    pub fn len(&self) -> usize {
        match self {
            Labels::Text(labels) => labels.len(),
            Labels::Integer(labels) => labels.len(),
            Labels::Boolean(labels) => labels.len(),
        }
    }

    /// As SQL writes them.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Labels::Text(labels) => labels.clone(),
            Labels::Integer(labels) => labels.iter().map(i64::to_string).collect(),
            Labels::Boolean(labels) => labels.iter().map(bool::to_string).collect(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decode {
    Tensor,
    Label,
    Argmax,
    Map,
    Struct,
    /// The struct, behind the label of the highest of the first output's scores.
    Labelled,
}

#[derive(Debug)]
pub struct CallSpec {
    pub sql_type: SqlType,
    pub decode: Decode,
    pub outputs: Vec<String>,
}

#[derive(Debug)]
pub struct Manifest {
    pub name: String,
    pub version: u64,
    pub created: String,
    pub sha256: String,
    pub task: String,
    pub features: Vec<Feature>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub labels: Option<Labels>,
    pub calls: BTreeMap<String, CallSpec>,
    pub batch: Batch,
    /// How the answers of its only output are computed from its only input, where that is known.
    pub formula: Option<FormulaFields>,
    /// What lies beside the model, and no prediction reads, with the sha256 of each.
    pub files: BTreeMap<String, String>,
    /// The folder that holds model.onnx.
    pub folder: PathBuf,
    /// Of all that is said here: the sha256 of the file.
    pub digest: String,
}

impl Manifest {
    /// Of the content of the file at `path`; whether it can be believed, `validate` says.
    pub fn of(content: &[u8], path: &Path) -> Result<Manifest> {
        let no_json = || unreadable(path, &format!("it is no JSON, or nested more than {MOST_LEVELS} levels deep"));
        let value: Value = serde_json::from_slice(content).map_err(|_| no_json())?;
        if levels(&value) > MOST_LEVELS {
            return Err(no_json());
        }
        let format = known_format(&value, path)?;
        let damaged = |e: &dyn std::fmt::Display| damaged(path, e);
        if format > 1 {
            let needs = fault(&value, &json!({"needs": {"*": "text"}})).or_else(|| bad_version(&value["needs"]));
            needs.map_or(Ok(()), |fault| Err(damaged(&fault)))?;
        }
        if let (2.., Some(unknown)) = (format, unknown_needs(&value["needs"])) {
            let (path, version) = (path.display(), env!("CARGO_PKG_VERSION"));
            return Err(Error::of(
                Code::Registry,
                format!(
                    "{path} needs {unknown}, which sqlinfer {version} does not know; upgrade sqlinfer, or register the \
                     model again"
                ),
            ));
        }
        let file = File::of(value).map_err(|e| damaged(&e))?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let manifest = Manifest::from_file(file, folder).map_err(|e| damaged(&e))?;
        Ok(Manifest { digest: digest(content), ..manifest })
    }

    fn from_file(file: File, folder: PathBuf) -> Result<Manifest> {
        let inputs = file.inputs.into_iter().map(input).collect::<Result<Vec<_>>>()?;
        let numbers: HashMap<&str, usize> =
            inputs.iter().enumerate().map(|(i, input)| (input.name.as_str(), i)).collect();
        let features = file.features.into_iter().map(|fields| feature(fields, &inputs, &numbers));
        let features = features.collect::<Result<Vec<_>>>()?;
        let outputs = file.outputs.into_iter().map(output).collect::<Result<Vec<_>>>()?;
        let calls = file.calls.into_iter().map(|(name, fields)| call(&name, fields).map(|call| (name, call)));
        let calls = calls.collect::<Result<BTreeMap<_, _>>>()?;
        let formula = match file.kernel {
            fields @ Value::Object(_) => Some(formula(fields, &inputs, &features)?),
            _ => None,
        };
        Ok(Manifest {
            name: file.name,
            version: file.version,
            created: file.created,
            sha256: file.sha256,
            task: file.task,
            features,
            inputs,
            outputs,
            labels: file.labels.map(labels).transpose()?,
            calls,
            batch: file.batch,
            formula,
            files: file.files,
            folder,
            digest: String::new(),
        })
    }

    pub fn onnx(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    pub fn feature_names(&self) -> Vec<String> {
        self.features.iter().map(|f| f.name.clone()).collect()
    }

    pub fn input_number(&self, name: &str) -> Result<usize> {
        let found = self.inputs.iter().position(|input| input.name == name);
        found.ok_or_else(|| Error::new(format!("no input {}", quoted(name))))
    }

    pub fn is_prepared(&self) -> bool {
        self.features.iter().filter_map(|feature| feature.prepare.as_ref()).any(Prepare::is_costly)
    }

    /// Their names and types, as people read them.
    pub fn shown_features(&self) -> String {
        let features: Vec<String> = self.features.iter().map(|f| format!("{} {}", f.name, f.sql_type)).collect();
        features.join(", ")
    }

    /// Whether all features are the columns of one tensor, so that one list can stand for them.
    pub fn takes_list(&self) -> bool {
        self.inputs.len() == 1 && self.features.iter().all(|f| f.column.is_some() && f.prepare.is_none())
    }

    /// Whether there is one argument more than the features are, which then is a class: `predict_proba('m', …, 'yes')`.
    pub fn class_follows(&self, given: &[ArgType]) -> bool {
        let features = self.features.len();
        match given {
            [ArgType::Struct(_), _] => true,
            [list, _] if list.is_list() && self.takes_list() => true,
            _ => given.len() == features + 1,
        }
    }

    /// The place of a class among the probabilities.
    pub fn class(&self, model: &str, class: Option<&str>) -> Result<usize> {
        let classes = self.labels.as_ref().map_or(Vec::new(), Labels::texts);
        let class = class.ok_or_else(|| class_not_constant(model, &classes))?;
        classes.iter().position(|known| known == class).ok_or_else(|| unknown_class(model, class, &classes))
    }
}

fn input(fields: TensorFields) -> Result<Input> {
    let axes = axes(&fields.name, fields.shape)?;
    Ok(Input { dtype: dtype(&fields.dtype)?, axes, name: fields.name, shared: fields.shared })
}

fn dtype(name: &str) -> Result<Dtype> {
    Dtype::parse(name).ok_or_else(|| Error::new(format!("the tensor type {} is not known", quoted(name))))
}

fn output(fields: OutputFields) -> Result<Output> {
    let axes = axes(&fields.name, fields.shape)?;
    let (name, sql_type) = (&fields.name, &fields.sql_type);
    let no_type = || Error::new(format!("{} is {}, which is no type", quoted(name), quoted(sql_type)));
    let sql_type = written(sql_type).filter(|sql_type| sql_type.axes().is_some()).ok_or_else(no_type)?;
    Ok(Output { dtype: dtype(&fields.dtype)?, axes, sql_type, name: fields.name })
}

/// Behind the batch axis.
fn axes(name: &str, shape: Vec<Option<usize>>) -> Result<Vec<Option<usize>>> {
    let mut axes = shape.into_iter();
    axes.next().map(|_| axes.collect()).ok_or_else(|| Error::new(format!("{} has no axes", quoted(name))))
}

/// A type in the one way to write it.
fn written(text: &str) -> Option<SqlType> {
    SqlType::parse(text).ok().filter(|parsed| parsed.to_string() == text)
}

fn feature(fields: FeatureFields, inputs: &[Input], numbers: &HashMap<&str, usize>) -> Result<Feature> {
    let input = *numbers
        .get(fields.tensor.as_str())
        .ok_or_else(|| Error::new(format!("no input {}", quoted(&fields.tensor))))?;
    let prepare = Prepare::parse(fields.prepare)?;
    let dtype = match prepare {
        None => Some(inputs[input].dtype),
        Some(Prepare::Text(_) | Prepare::Words(_)) => Some(Dtype::Text),
        Some(Prepare::Image(_)) => None,
    };
    let takes = match prepare {
        None => written(&fields.sql_type).is_some_and(|sql_type| sql_type.axes().is_some()),
        Some(Prepare::Text(_) | Prepare::Words(_)) => fields.sql_type == "VARCHAR",
        Some(Prepare::Image(_)) => fields.sql_type == "BLOB",
    };
    if !takes {
        let (name, sql_type) = (quoted(&fields.name), quoted(&fields.sql_type));
        return Err(Error::new(format!("{name} is {sql_type}, which is no type of a feature")));
    }
    let null = null_policy(&fields.null, dtype).ok_or_else(|| {
        let (name, policy) = (quoted(&fields.name), fields.null.as_str().map_or("a value".to_string(), quoted));
        Error::new(format!("{name} has the null policy {policy}, which does not fit it"))
    })?;
    let takes = match (&prepare, dtype) {
        (Some(Prepare::Image(_)), _) | (_, None) => Takes::Nothing,
        (Some(Prepare::Text(_) | Prepare::Words(_)), _) => Takes::Texts,
        (None, Some(dtype)) => match (fields.column.is_some() || inputs[input].axes.is_empty(), dtype) {
            (true, Dtype::Text) => Takes::Texts,
            (true, _) => Takes::Numbers,
            (false, dtype) if dtype.is_float() => Takes::Floats,
            (false, _) => Takes::Nothing,
        },
    };
    let guards = Guards::parse(fields.guards, takes).map_err(|refuse| {
        let (name, guard) = (quoted(&fields.name), quoted(&refuse));
        Error::new(format!("{name} has the guard {guard}, which does not fit it"))
    })?;
    Ok(Feature { name: fields.name, sql_type: fields.sql_type, null, input, column: fields.column, prepare, guards })
}

/// Its columns are the features in their order, or there is none.
fn formula(fields: Value, inputs: &[Input], features: &[Feature]) -> Result<FormulaFields> {
    let unfit = || Error::new("the formula does not fit the model");
    let fields: FormulaFields = serde_json::from_value(fields).map_err(|_| unfit())?;
    let FormulaFields { weights, intercepts } = &fields;
    let in_order = features.iter().enumerate().all(|(place, feature)| feature.column == Some(place));
    let is_float = matches!(inputs, [Input { dtype: Dtype::F32 | Dtype::F64, .. }]);
    let weighs_all = weights.iter().all(|weights| weights.len() == features.len());
    let fits = in_order && is_float && weighs_all && !features.is_empty();
    match fits && !weights.is_empty() && intercepts.len() == weights.len() {
        true => Ok(fields),
        false => Err(unfit()),
    }
}

/// `dtype`: of the values that one may stand among; None where none can.
fn null_policy(field: &Value, dtype: Option<Dtype>) -> Option<NullPolicy> {
    match field.as_str() {
        Some("null") => Some(NullPolicy::Null),
        Some("error") => Some(NullPolicy::Error),
        Some("nan") => dtype?.is_float().then_some(NullPolicy::Value(StandIn::Number(f64::NAN))),
        Some(_) => None,
        None => stand_in(field.get("value")?, dtype?).map(NullPolicy::Value),
    }
}

/// What stands for NULL in a tensor of this type, as it is.
fn stand_in(value: &Value, dtype: Dtype) -> Option<StandIn> {
    let number = match value {
        Value::String(text) => return (dtype == Dtype::Text).then(|| StandIn::Text(text.clone())),
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Number(number) => number.as_f64()?,
        _ => return None,
    };
    if dtype.is_float() {
        return Some(StandIn::Number(number));
    }
    let whole = match value {
        Value::Number(number) => number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)),
        _ => None,
    };
    let whole = whole.or((number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128))?;
    dtype.limits().filter(|limits| limits.contains(&whole)).map(|_| StandIn::Integer(whole))
}

fn call(name: &str, fields: CallFields) -> Result<CallSpec> {
    let decode = match fields.decode.as_str() {
        "tensor" => Decode::Tensor,
        "label" => Decode::Label,
        "argmax" => Decode::Argmax,
        "map" => Decode::Map,
        "struct" => Decode::Struct,
        "labelled" => Decode::Labelled,
        other => return Err(Error::new(format!("unknown decoding {}", quoted(other)))),
    };
    let sql_type = written(&fields.sql_type).ok_or_else(|| no_answer_of(name, &fields.sql_type))?;
    Ok(CallSpec { sql_type, decode, outputs: fields.outputs })
}

fn no_answer_of(name: &str, sql_type: &str) -> Error {
    Error::new(format!("{}() is {}, which is not what it answers", cut(name), quoted(sql_type)))
}

fn labels(fields: LabelFields) -> Result<Labels> {
    fn all<T>(values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        if values.is_empty() {
            return Err(Error::new("no labels".to_string()));
        }
        let read: Option<Vec<T>> = values.iter().map(read).collect();
        read.ok_or_else(|| Error::new("a label is not of the labels' type".to_string()))
    }
    match fields.sql_type.as_str() {
        "VARCHAR" => all(&fields.values, |v| v.as_str().map(str::to_string)).map(Labels::Text),
        "BIGINT" => all(&fields.values, Value::as_i64).map(Labels::Integer),
        "BOOLEAN" => all(&fields.values, Value::as_bool).map(Labels::Boolean),
        other => Err(Error::new(format!("labels of type {}", quoted(other)))),
    }
}

fn known_format(manifest: &Value, path: &Path) -> Result<u64> {
    let found = manifest.get("format").and_then(Value::as_number).filter(|found| !found.is_f64());
    let known = found.and_then(Number::as_u64).filter(|format| FORMATS.contains(format));
    let has = found.map_or("has no number for a format".to_string(), |found| format!("has format {found}"));
    let (path, version) = (path.display(), env!("CARGO_PKG_VERSION"));
    let formats = named(&FORMATS.map(|format| format.to_string()));
    known.ok_or_else(|| {
        Error::of(
            Code::Registry,
            format!(
                "{path} {has}, and sqlinfer {version} knows {formats}; upgrade sqlinfer, or register the model again"
            ),
        )
    })
}

/// How deep the values lie in one another.
pub fn levels(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(levels).max(),
        Value::Object(fields) => fields.values().map(levels).max(),
        _ => None,
    };
    inner.map_or(0, |levels| levels + 1)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn sample() -> Value {
        serde_json::json!({
            "format": 1, "name": "churn", "version": 1, "created": "2026-01-01T00:00:00Z", "sha256": "ab",
            "source": {"framework": "", "model": "", "converter": null, "sqlinfer": ""}, "task": "classification",
            "kernel": "onnx", "proof": {"rows": [], "answers": {}, "tolerance": 0},
            "features": [
                {"name": "age", "type": "DOUBLE", "null": "null", "tensor": "X", "column": 0},
                {"name": "Income", "type": "DOUBLE", "null": "nan", "tensor": "X", "column": 1},
                {"name": "city", "type": "VARCHAR", "null": {"value": "none"}, "tensor": "city", "column": 0}
            ],
            "inputs": [
                {"name": "X", "dtype": "float32", "shape": [null, 2]},
                {"name": "city", "dtype": "string", "shape": [null, 1]}
            ],
            "outputs": [
                {"name": "label", "dtype": "string", "shape": [null], "type": "VARCHAR"},
                {"name": "scores", "dtype": "float32", "shape": [null, 2], "type": "FLOAT[2]"}
            ],
            "labels": {"type": "VARCHAR", "values": ["no", "yes"]},
            "calls": {
                "predict": {"type": "VARCHAR", "decode": "label", "outputs": ["label"]},
                "predict_proba": {"type": "MAP(VARCHAR, FLOAT)", "decode": "map", "outputs": ["scores"]}
            },
            "batch": {"fixed": null, "most": null}
        })
    }

    pub fn parsed(value: Value) -> Result<Manifest> {
        let manifest = Manifest::from_file(File::of(value)?, PathBuf::from("/m"))?;
        validate::require_sound(&manifest)?;
        Ok(manifest)
    }

    #[test]
    fn reads_the_contract() {
        let manifest = parsed(sample()).unwrap();
        assert_eq!(manifest.feature_names(), ["age", "Income", "city"]);
        assert_eq!(manifest.features[2].null, NullPolicy::Value(StandIn::Text("none".into())));
    }

    #[test]
    fn damaged_files_are_refused() {
        for (pointer, value) in [
            ("/features/0/column", serde_json::json!(1)),
            ("/features/0/tensor", serde_json::json!("nope")),
            ("/features/2/null", serde_json::json!("nan")),
            ("/inputs/0/dtype", serde_json::json!("complex64")),
            ("/calls/predict/decode", serde_json::json!("magic")),
            ("/calls/predict/outputs", serde_json::json!([])),
            ("/labels", Value::Null),
            ("/calls/predict/outputs", serde_json::json!(["label", "scores"])),
            ("/calls/predict/outputs", serde_json::json!(["label", "label"])),
            ("/batch/fixed", serde_json::json!(0)),
            ("/batch/most", serde_json::json!(1u64 << 62)),
            // of a model with two inputs
            ("/kernel", serde_json::json!({"weights": [[1, 2, 3]], "intercepts": [0]})),
            ("/kernel", serde_json::json!({"weights": 1})),
        ] {
            let mut fields = sample();
            *fields.pointer_mut(pointer).unwrap() = value;
            assert!(parsed(fields).is_err(), "{pointer}");
        }
    }
}
