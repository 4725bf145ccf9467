//! Whether a manifest can be believed: what one part names, another has, and nothing is so large that it must be
//! refused. The same as in sqlinfer/models/validate.py: both readers accept and refuse the same files, in the same
//! order and words.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use super::fields::{cut, quoted};
use super::preprocess::{ImageSteps, Prepare, TextFields};
use super::{CallSpec, Decode, Feature, Input, Labels, MOST_BYTES, Manifest, Output, damaged, no_answer_of};
use crate::core::error::{Error, Result};
use crate::core::files::{read_plain, unreadable};
use crate::core::sqltype::{Plain, SqlType};
use crate::sys::tensor::Dtype;

/// Registration tries no model with more rows or values.
const MOST_ROWS: usize = 100_000_000;
const MOST_VALUES: usize = 100_000_000;
const MOST_TENSORS: usize = 10_000;
const MOST_TOKENS: usize = 10_000_000;
const MOST_PIXELS: u64 = 1 << 26;
const MOST_VERSIONS: u64 = 1 << 31;

pub fn read(path: &Path) -> Result<Manifest> {
    of(&read_plain(path, MOST_BYTES).map_err(|e| unreadable(path, &e))?, path)
}

/// Of the content of the file at `path`.
pub fn of(content: &[u8], path: &Path) -> Result<Manifest> {
    let manifest = Manifest::of(content, path)?;
    require_sound(&manifest).map_err(|e| damaged(path, &e))?;
    Ok(manifest)
}

pub fn require_sound(manifest: &Manifest) -> Result<()> {
    let most = manifest.inputs.len().max(manifest.outputs.len());
    must(most <= MOST_TENSORS, &format!("{most} inputs or outputs"))?;
    let inputs = manifest.inputs.iter().map(|input| (&input.name, &input.axes));
    let outputs = manifest.outputs.iter().map(|output| (&output.name, &output.axes));
    inputs.chain(outputs).try_for_each(|(name, axes)| require_tensor(name, axes))?;
    require_distinct("input", manifest.inputs.iter().map(|input| input.name.as_str()))?;
    require_distinct("output", manifest.outputs.iter().map(|output| output.name.as_str()))?;
    manifest.outputs.iter().try_for_each(require_output)?;
    must(!manifest.features.is_empty(), &"no features")?;
    require_distinct("feature", manifest.features.iter().map(|feature| feature.name.as_str()))?;
    let numbers: HashMap<&str, usize> =
        manifest.inputs.iter().enumerate().map(|(number, input)| (input.name.as_str(), number)).collect();
    manifest.features.iter().try_for_each(|feature| require_feature(feature, &manifest.inputs, &numbers))?;
    require_fed(manifest, &numbers)?;
    let outputs: HashMap<&str, &Output> =
        manifest.outputs.iter().map(|output| (output.name.as_str(), output)).collect();
    let labels = manifest.labels.as_ref();
    manifest.calls.iter().try_for_each(|(name, call)| require_call(name, call, &outputs, labels))?;
    must(manifest.calls.contains_key("predict"), &"no predict")?;
    require_batch(manifest)?;
    must((1..MOST_VERSIONS).contains(&manifest.version), &format!("version {}", manifest.version))?;
    match (&manifest.formula, manifest.outputs.as_slice()) {
        (None, _) => Ok(()),
        (Some(formula), [output]) => {
            must(output.axes == [Some(formula.weights.len())], &"the formula does not fit the model")
        }
        (Some(_), _) => must(false, &"the formula does not fit the model"),
    }?;
    manifest.files.keys().try_for_each(|file| require_beside("a file", file))
}

fn must(is_sound: bool, what: &dyn Display) -> Result<()> {
    if is_sound { Ok(()) } else { Err(Error::new(what.to_string())) }
}

fn require_tensor(name: &str, axes: &[Option<usize>]) -> Result<()> {
    must(!name.contains('\0'), &"a tensor's name holds a NUL")?;
    must(
        values(axes).is_some_and(|values| values <= MOST_VALUES),
        &format!("a row of {} has too many values", quoted(name)),
    )
}

/// How many values a row has at least; an axis of none counts as one. None for more than can be counted.
fn values(axes: &[Option<usize>]) -> Option<usize> {
    axes.iter().try_fold(1usize, |product, axis| product.checked_mul(axis.unwrap_or(1).max(1)))
}

fn require_distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut known = HashSet::new();
    for name in names {
        must(known.insert(name), &format!("two {what}s are called {}", quoted(name)))?;
    }
    Ok(())
}

fn require_output(output: &Output) -> Result<()> {
    let Output { name, axes, sql_type, .. } = output;
    let fits =
        sql_type.axes().is_some_and(|(_, shown)| shown.len() == axes.len() || shown.is_empty() && *axes == [Some(1)]);
    let (name, shown) = (quoted(name), quoted(&sql_type.to_string()));
    must(fits, &format!("{name} is {shown}, which does not fit its shape"))?;
    sql_type.require_answer()
}

fn require_feature(feature: &Feature, inputs: &[Input], numbers: &HashMap<&str, usize>) -> Result<()> {
    let Feature { name, column, .. } = feature;
    let input = &inputs[feature.input];
    match (&feature.prepare, column) {
        (Some(Prepare::Words(fields)), Some(column)) => {
            must(input.dtype == Dtype::Text, &format!("words as {}", quoted(&input.name)))?;
            require_column(name, *column, input)?;
            require_beside("tables of words", &fields.words)?;
        }
        (Some(Prepare::Words(_)), None) => must(false, &format!("{} is no column", quoted(name)))?,
        (Some(_), Some(column)) => must(false, &format!("{} is column {column}", quoted(name)))?,
        (Some(Prepare::Text(fields)), None) => require_text(feature, fields, inputs, numbers)?,
        (Some(Prepare::Image(fields)), None) => require_image(fields, input)?,
        (None, None) => {}
        (None, Some(column)) => require_column(name, *column, input)?,
    }
    Ok(())
}

fn require_column(name: &str, column: usize, input: &Input) -> Result<()> {
    must(matches!(input.axes[..], [Some(width)] if column < width), &format!("{} is column {column}", quoted(name)))
}

/// The name of a file in the folder of the model.
fn require_beside(what: &str, file: &str) -> Result<()> {
    must(!matches!(file, "" | "." | "..") && !file.contains(['/', '\\', '\0']), &format!("{what} at {}", quoted(file)))
}

fn require_text(
    feature: &Feature,
    fields: &TextFields,
    inputs: &[Input],
    numbers: &HashMap<&str, usize>,
) -> Result<()> {
    let mut fed = vec![feature.input];
    for name in feature.prepare.iter().flat_map(Prepare::companions) {
        fed.push(*numbers.get(name.as_str()).ok_or_else(|| Error::new(format!("no input {}", quoted(name))))?);
    }
    let holds_ids = |number: &usize| {
        let Input { axes, dtype, .. } = &inputs[*number];
        axes.len() == 1 && matches!(dtype, Dtype::I32 | Dtype::I64)
    };
    let distinct = fed.iter().collect::<HashSet<_>>().len() == fed.len();
    must(fed.iter().all(holds_ids) && distinct, &format!("{} as other tensors than of tokens", quoted(&feature.name)))?;
    require_beside("a tokenizer", &fields.tokenizer)?;
    must((1..=MOST_TOKENS).contains(&fields.max_length), &format!("texts of {} tokens", fields.max_length))?;
    let pad = fields.pad.unwrap_or(0);
    must((0..1 << 31).contains(&pad), &format!("texts filled up with {pad}"))
}

fn require_image(fields: &ImageSteps, input: &Input) -> Result<()> {
    must((1..=MOST_PIXELS).contains(&fields.pixels), &format!("images of {} pixels", fields.pixels))?;
    let channels = if fields.gray { 1 } else { 3 };
    let fits =
        input.dtype == Dtype::U8 && matches!(input.axes[..], [_, _, last] if last.is_none_or(|last| last == channels));
    must(fits, &format!("an image as {}", quoted(&input.name)))
}

/// The features of each input are all of its columns, each once, or one is the whole tensor.
fn require_fed(manifest: &Manifest, numbers: &HashMap<&str, usize>) -> Result<()> {
    let mut by_input: Vec<Vec<Option<usize>>> = vec![Vec::new(); manifest.inputs.len()];
    let mut companions: HashSet<&usize> = HashSet::new();
    for feature in &manifest.features {
        by_input[feature.input].push(feature.column);
        let names = feature.prepare.iter().flat_map(Prepare::companions);
        companions.extend(names.filter_map(|name| numbers.get(name.as_str())));
    }
    for (number, (input, mut columns)) in manifest.inputs.iter().zip(by_input).enumerate() {
        columns.sort_unstable();
        let fits = match columns[..] {
            _ if companions.contains(&number) => columns.is_empty(),
            [None] => true,
            _ => {
                let each_once = columns.iter().enumerate().all(|(place, column)| *column == Some(place));
                !columns.is_empty() && each_once && input.axes == [Some(columns.len())]
            }
        };
        must(fits, &format!("the features of {} are not its columns", quoted(&input.name)))?;
    }
    Ok(())
}

fn require_call(name: &str, call: &CallSpec, outputs: &HashMap<&str, &Output>, labels: Option<&Labels>) -> Result<()> {
    let outputs: Option<Vec<&Output>> = call.outputs.iter().map(|name| outputs.get(name.as_str()).copied()).collect();
    let outputs = outputs.ok_or_else(|| Error::new(format!("{}() needs an output that is not there", cut(name))))?;
    let [first, others @ ..] = outputs.as_slice() else {
        return must(false, &format!("{}() is made of nothing", cut(name)));
    };
    let one = others.is_empty();
    let label_type = labels.map(|labels| SqlType::Plain(label_type(labels)));
    let scores = first.dtype != Dtype::Text && labels.is_some_and(|labels| first.axes == [Some(labels.len())]);
    let (fits, answer) = match call.decode {
        Decode::Tensor => (one, Some(first.sql_type.clone())),
        Decode::Label => {
            let one_each = matches!(first.axes[..], [] | [Some(1)]);
            let held = labels.is_none_or(|labels| holds_labels(first.dtype, labels));
            (one && one_each && held, label_type.or(Some(first.sql_type.clone())))
        }
        Decode::Argmax => (one && scores, label_type),
        Decode::Map => {
            let value = Box::new(SqlType::Plain(Plain::of(first.dtype)));
            (one && scores, label_type.map(|key| SqlType::Map(Box::new(key), value)))
        }
        Decode::Struct | Decode::Labelled => {
            let is_labelled = call.decode == Decode::Labelled;
            let label = label_type.filter(|_| is_labelled).map(|label| ("label".to_string(), label));
            let fields = outputs.iter().map(|output| (output.name.clone(), output.sql_type.clone()));
            let fields: Vec<_> = label.into_iter().chain(fields).collect();
            let lower: Vec<String> = fields.iter().map(|(name, _)| name.to_lowercase()).collect();
            require_distinct("field", lower.iter().map(String::as_str))?;
            (scores || !is_labelled, Some(SqlType::Struct(fields)))
        }
    };
    let is_answer = fits && answer.as_ref() == Some(&call.sql_type);
    if is_answer { Ok(()) } else { Err(no_answer_of(name, &call.sql_type.to_string())) }
}

fn label_type(labels: &Labels) -> Plain {
    match labels {
        Labels::Text(_) => Plain::Varchar,
        Labels::Integer(_) => Plain::BigInt,
        Labels::Boolean(_) => Plain::Boolean,
    }
}

fn holds_labels(dtype: Dtype, labels: &Labels) -> bool {
    match labels {
        Labels::Text(_) => dtype == Dtype::Text,
        _ => dtype != Dtype::Text && !dtype.is_float(),
    }
}

/// A run is filled up, whatever is asked.
fn require_batch(manifest: &Manifest) -> Result<()> {
    let batch = manifest.batch;
    let counted =
        [batch.fixed, batch.most, Some(batch.multiple)].iter().flatten().all(|rows| (1..=MOST_ROWS).contains(rows));
    must(counted, &"a batch of no rows, or of too many")?;
    let values: Option<usize> =
        manifest.inputs.iter().try_fold(0usize, |sum, input| sum.checked_add(values(&input.axes)?));
    let filled = values.and_then(|values| values.checked_mul(batch.filled(1)));
    must(filled.is_some_and(|filled| filled <= MOST_VALUES), &"a batch of too many values")
}
