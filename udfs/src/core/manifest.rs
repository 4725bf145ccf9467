//! model.json: everything that is known of one version of a model. Its fields are described in
//! sqlinfer/models/manifest.py, which writes it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::convert::StandIn;
use super::error::{Error, Result, no_answer};
use super::files::{digest, read_plain, unreadable};
use super::formula::{Formula, FormulaFields};
use super::prepare::Prepare;
use super::sqltype::SqlType;
use super::tensor::Dtype;

const FORMAT: u64 = 1;
const MOST_BYTES: u64 = 1 << 28;
/// A fixed batch is filled up.
const MOST_ROWS: usize = 100_000_000;

#[derive(Debug, Deserialize)]
struct File {
    format: u64,
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
    #[serde(default)]
    kernel: Value,
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

/// How rows may be put together: exactly `fixed` at a time, and at most `most` different ones.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Batch {
    pub fixed: Option<usize>,
    pub most: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NullPolicy {
    Null,
    Error,
    Value(StandIn),
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

#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    Text(Vec<String>),
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decode {
    Tensor,
    Label,
    Argmax,
    Map,
    Struct,
}

#[derive(Debug)]
pub struct Call {
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
    /// Name and SQL type.
    pub outputs: Vec<(String, SqlType)>,
    pub labels: Option<Labels>,
    pub calls: BTreeMap<String, Call>,
    pub batch: Batch,
    /// How the answers of its only output are computed from its only input, where that is known.
    pub formula: Option<Formula>,
    /// The folder that holds model.onnx.
    pub folder: PathBuf,
    /// Of all that is said here: the sha256 of the file.
    pub digest: String,
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Manifest> {
        let shown = path.display();
        let again = "register the model again";
        let text = read_plain(path, MOST_BYTES).map_err(|e| unreadable(path, &e))?;
        let damaged = |e: &dyn std::fmt::Display| Error(format!("{shown} is damaged ({e}); {again}"));
        let value: Value = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
        let format = value.get("format").and_then(Value::as_u64);
        if format != Some(FORMAT) {
            let found = value.get("format").map_or("none".to_string(), Value::to_string);
            return Err(Error(format!(
                "{shown} has format {found}, this sqlinfer knows format {FORMAT}; upgrade sqlinfer, or {again}"
            )));
        }
        let file: File = serde_json::from_value(value).map_err(|e| damaged(&e))?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let manifest = Manifest::from_file(file, folder).map_err(|e| damaged(&e))?;
        Ok(Manifest { digest: digest(&text), ..manifest })
    }

    fn from_file(file: File, folder: PathBuf) -> Result<Manifest> {
        debug_assert_eq!(file.format, FORMAT);
        let inputs = file.inputs.into_iter().map(input).collect::<Result<Vec<_>>>()?;
        let features = file.features.into_iter().map(|fields| feature(fields, &inputs)).collect::<Result<Vec<_>>>()?;
        let outputs =
            file.outputs.into_iter().map(|o| Ok((o.name, SqlType::parse(&o.sql_type)?))).collect::<Result<Vec<_>>>()?;
        let calls = file
            .calls
            .into_iter()
            .map(|(name, fields)| Ok((name, call(fields, &outputs)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let formula = match file.kernel {
            fields @ Value::Object(_) => Some(formula(fields, &inputs, &features)?),
            _ => None,
        };
        let manifest = Manifest {
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
            folder,
            digest: String::new(),
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// What packing and decoding rely on.
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error(what.to_string()));
        let companions: Vec<&String> =
            self.features.iter().filter_map(|f| f.prepare.as_ref()).flat_map(Prepare::companions).collect();
        for number in (0..self.inputs.len()).filter(|number| !companions.contains(&&self.inputs[*number].name)) {
            let features: Vec<&Feature> = self.features.iter().filter(|f| f.input == number).collect();
            let mut columns: Vec<usize> = features.iter().filter_map(|f| f.column).collect();
            columns.sort_unstable();
            let whole = features.len() == 1 && columns.is_empty();
            if !whole && columns != (0..features.len()).collect::<Vec<_>>() || features.is_empty() {
                return wrong("the features of an input are not its columns");
            }
        }
        if [self.batch.fixed, self.batch.most].iter().flatten().any(|rows| !(1..=MOST_ROWS).contains(rows)) {
            return wrong("a batch of no rows, or of too many");
        }
        let labelled = |call: &Call| matches!(call.decode, Decode::Argmax | Decode::Map);
        if self.labels.is_none() && self.calls.values().any(labelled) {
            return wrong("an answer needs labels, and there are none");
        }
        Ok(())
    }

    pub fn onnx(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    pub fn feature_names(&self) -> Vec<String> {
        self.features.iter().map(|f| f.name.clone()).collect()
    }

    pub fn input_number(&self, name: &str) -> Result<usize> {
        let found = self.inputs.iter().position(|input| input.name == name);
        found.ok_or_else(|| Error(format!("no input '{name}'")))
    }

    pub fn is_prepared(&self) -> bool {
        self.features.iter().any(|feature| feature.prepare.is_some())
    }

    /// Whether all features are the columns of one tensor, so that one list can stand for them.
    pub fn takes_list(&self) -> bool {
        self.inputs.len() == 1 && self.features.iter().all(|f| f.column.is_some())
    }

    pub fn call(&self, name: &str) -> Result<&Call> {
        self.calls.get(name).ok_or_else(|| {
            let order = ["predict", "predict_proba", "infer"];
            let offers = order.iter().filter(|c| self.calls.contains_key(**c));
            let offers: Vec<String> = offers.map(|c| c.to_string()).collect();
            no_answer(&format!("{}/{}", self.name, self.version), name, &offers)
        })
    }
}

fn input(fields: TensorFields) -> Result<Input> {
    Ok(Input {
        name: fields.name,
        dtype: Dtype::parse(&fields.dtype)?,
        axes: fields.shape.into_iter().skip(1).collect(),
        shared: fields.shared,
    })
}

fn feature(fields: FeatureFields, inputs: &[Input]) -> Result<Feature> {
    let found = inputs.iter().position(|input| input.name == fields.tensor);
    let input = found.ok_or_else(|| Error(format!("no input '{}'", fields.tensor)))?;
    let prepare = Prepare::parse(fields.prepare)?;
    let dtype = if prepare.is_some() { Dtype::Text } else { inputs[input].dtype };
    let null = null_policy(&fields.null, dtype)?;
    Ok(Feature { name: fields.name, sql_type: fields.sql_type, null, input, column: fields.column, prepare })
}

/// Its columns are the features in their order, or there is none.
fn formula(fields: Value, inputs: &[Input], features: &[Feature]) -> Result<Formula> {
    let fields: FormulaFields = serde_json::from_value(fields).map_err(|e| Error(e.to_string()))?;
    let in_order = features.iter().enumerate().all(|(place, feature)| feature.column == Some(place));
    let found = match inputs {
        [input] if in_order => Formula::of(fields, input.dtype, features.len()),
        _ => None,
    };
    found.ok_or_else(|| Error("the formula does not fit the features".to_string()))
}

fn null_policy(value: &Value, dtype: Dtype) -> Result<NullPolicy> {
    let stand_in = match value {
        Value::String(kind) if kind == "null" => return Ok(NullPolicy::Null),
        Value::String(kind) if kind == "error" => return Ok(NullPolicy::Error),
        Value::String(kind) if kind == "nan" && dtype.is_float() => StandIn::Number(f64::NAN),
        Value::Object(fields) => match fields.get("value") {
            Some(Value::String(text)) => StandIn::Text(text.clone()),
            Some(Value::Bool(flag)) => StandIn::Number(f64::from(u8::from(*flag))),
            Some(Value::Number(number)) => StandIn::Number(number.as_f64().unwrap_or(f64::NAN)),
            _ => return Err(Error(format!("unknown null policy {value}"))),
        },
        _ => return Err(Error(format!("unknown null policy {value}"))),
    };
    match (&stand_in, dtype) {
        (StandIn::Text(_), Dtype::Text) => Ok(NullPolicy::Value(stand_in)),
        (StandIn::Number(_), dtype) if dtype != Dtype::Text => Ok(NullPolicy::Value(stand_in)),
        _ => Err(Error(format!("the null policy {value} does not fit its feature"))),
    }
}

fn call(fields: CallFields, outputs: &[(String, SqlType)]) -> Result<Call> {
    let decode = match fields.decode.as_str() {
        "tensor" => Decode::Tensor,
        "label" => Decode::Label,
        "argmax" => Decode::Argmax,
        "map" => Decode::Map,
        "struct" => Decode::Struct,
        other => return Err(Error(format!("unknown decoding '{other}'"))),
    };
    let known = |name: &String| outputs.iter().any(|(output, _)| output == name);
    if fields.outputs.is_empty() || !fields.outputs.iter().all(known) {
        return Err(Error("an answer names an output that is not there".to_string()));
    }
    let distinct: HashSet<&String> = fields.outputs.iter().collect();
    if distinct.len() < fields.outputs.len() || distinct.len() > 1 && decode != Decode::Struct {
        return Err(Error("an answer has outputs that it cannot have".to_string()));
    }
    Ok(Call { sql_type: SqlType::parse(&fields.sql_type)?, decode, outputs: fields.outputs })
}

fn labels(fields: LabelFields) -> Result<Labels> {
    fn all<T>(values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        let read: Option<Vec<T>> = values.iter().map(read).collect();
        read.ok_or_else(|| Error("a label is not of the labels' type".to_string()))
    }
    match fields.sql_type.as_str() {
        "VARCHAR" => all(&fields.values, |v| v.as_str().map(str::to_string)).map(Labels::Text),
        "BIGINT" => all(&fields.values, Value::as_i64).map(Labels::Integer),
        "BOOLEAN" => all(&fields.values, Value::as_bool).map(Labels::Boolean),
        other => Err(Error(format!("labels of type {other}"))),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn sample() -> Value {
        serde_json::json!({
            "format": 1, "name": "churn", "version": 1, "created": "2026-01-01T00:00:00Z", "sha256": "ab",
            "source": {}, "task": "classification", "kernel": "onnx", "proof": {},
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
        let file: File = serde_json::from_value(value).map_err(|e| Error(e.to_string()))?;
        Manifest::from_file(file, PathBuf::from("/m"))
    }

    #[test]
    fn reads_the_contract() {
        let manifest = parsed(sample()).unwrap();
        assert_eq!(manifest.feature_names(), ["age", "Income", "city"]);
        assert_eq!(manifest.features[2].null, NullPolicy::Value(StandIn::Text("none".into())));
        let error = manifest.call("infer").unwrap_err().to_string();
        assert_eq!(error, "model 'churn/1' has no infer(): it answers predict(), predict_proba()");
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
