//! Models of texts and images: features that are prepared by a library before they are tensors.
//!
//! Such a model costs far more than looking, so equal rows are scored once, and rows are put together so that the
//! model computes as little as possible.

mod image;
mod keys;
mod recent;
mod resample;
mod rows;
mod steps;
mod text;
mod words;

use serde::Deserialize;
use serde_json::Value;

use super::column::{Column, Rows};
use super::error::{Error, Result, brief, unreadable_image, unreadable_text};
use super::manifest::{Feature, Manifest};
use super::pack::Packed;
use super::plan::{Plan, Reader};
use image::Images;
pub use image::{decode, dimensions};
pub use recent::Recent;
use steps::{Step, StepFields};
pub use text::TOKENS_PER_RUN;
use text::Texts;
use words::Words;

/// What makes a tensor of a text or an image; the fields of `prepare` in model.json.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepare {
    Text(TextFields),
    Image(ImageSteps),
    Words(WordsFields),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextFields {
    pub tokenizer: String,
    pub sha256: String,
    pub max_length: usize,
    pub mask: Option<String>,
    pub types: Option<String>,
    pub pad: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ImageFields {
    image: String,
    pixels: u64,
    #[serde(default)]
    steps: Vec<StepFields>,
}

/// More than so many `pixels` are refused before they are decoded or resized.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSteps {
    pub gray: bool,
    pub pixels: u64,
    pub steps: Vec<Step>,
}

/// A text that is cut before the graph has it, as a text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WordsFields {
    pub words: String,
    pub sha256: String,
}

impl Prepare {
    /// Whether it makes a tensor of a length of its own, or one that takes longer to make than to score.
    pub fn is_costly(&self) -> bool {
        !matches!(self, Prepare::Words(_))
    }

    pub fn parse(fields: Value) -> Result<Option<Prepare>> {
        let unknown = |e: serde_json::Error| Error(format!("a preparation that is not known ({e})"));
        if fields.is_null() {
            return Ok(None);
        }
        if !fields.is_object() {
            return Err(Error("a preparation that is none".to_string()));
        }
        if fields.get("words").is_some() {
            return serde_json::from_value(fields).map(|fields| Some(Prepare::Words(fields))).map_err(unknown);
        }
        if fields.get("image").is_none() {
            return serde_json::from_value(fields).map(|fields| Some(Prepare::Text(fields))).map_err(unknown);
        }
        let fields: ImageFields = serde_json::from_value(fields).map_err(unknown)?;
        if !matches!(fields.image.as_str(), "RGB" | "L") {
            return Err(Error(format!("images as {}, which is not known", brief(&fields.image))));
        }
        let steps: Option<Vec<Step>> = fields.steps.into_iter().map(Step::parse).collect();
        let steps = steps.ok_or_else(|| Error("a step of images that is not known".to_string()))?;
        Ok(Some(Prepare::Image(ImageSteps { gray: fields.image == "L", pixels: fields.pixels, steps })))
    }

    /// What to do about an argument of another type.
    pub fn asks_for(&self) -> &'static str {
        match self {
            Prepare::Text(_) | Prepare::Words(_) => "give the text",
            Prepare::Image(_) => "give the bytes of a PNG or JPEG file, such as content of read_blob('*.jpg')",
        }
    }

    /// The inputs beside the feature's own that it fills.
    pub fn companions(&self) -> impl Iterator<Item = &String> {
        let (mask, types) = match self {
            Prepare::Text(text) => (text.mask.as_ref(), text.types.as_ref()),
            Prepare::Image(_) | Prepare::Words(_) => (None, None),
        };
        mask.into_iter().chain(types)
    }
}

/// Why a text or an image cannot be read, and which of the rows it is.
pub struct Unreadable {
    pub row: usize,
    pub reason: String,
}

/// What reads one feature.
pub enum Preparer {
    Text(Box<Texts>),
    Image(Images),
    Words(Box<Words>),
}

/// One for each feature that is prepared.
pub fn preparers(manifest: &Manifest) -> Result<Vec<Option<Preparer>>> {
    let one = |feature: &Feature| match &feature.prepare {
        None => Ok(None),
        Some(Prepare::Text(fields)) => {
            Texts::open(manifest, feature, fields).map(|t| Some(Preparer::Text(Box::new(t))))
        }
        Some(Prepare::Words(fields)) => Words::open(manifest, fields).map(|w| Some(Preparer::Words(Box::new(w)))),
        Some(Prepare::Image(fields)) => {
            Ok(Some(Preparer::Image(Images { input: feature.input, prepare: fields.clone() })))
        }
    };
    manifest.features.iter().map(one).collect()
}

impl Preparer {
    /// How much memory a row will take at most.
    pub fn bytes_of(&self, reader: &Reader, column: &Column, row: usize) -> usize {
        match self {
            Preparer::Text(texts) => texts.bytes_of(reader, column, row),
            Preparer::Image(images) => images.bytes_of(column, row),
            Preparer::Words(_) => 0,
        }
    }

    /// Fill the tensors of the feature of that number, with so many threads where it helps; gives the inputs filled and each row's shape in them.
    pub fn pack(
        &self,
        plan: &Plan,
        number: usize,
        column: &Column,
        rows: Rows,
        threads: usize,
        tensors: &mut [Packed],
    ) -> Result<Vec<(usize, Vec<usize>)>> {
        let (feature, reader) = (&plan.manifest.features[number], &plan.readers[number]);
        match self {
            Preparer::Text(texts) => texts
                .pack(reader, &feature.null, column, rows, tensors)
                .map_err(|error| unreadable_text(&plan.model, &feature.name, rows.get(error.row), &error.reason)),
            Preparer::Words(words) => {
                let packed = &mut tensors[feature.input];
                let width = packed.width;
                let place = (&mut packed.buffer, width, feature.column.unwrap_or(0));
                words.pack(reader, &feature.null, column, rows, place);
                Ok(Vec::new())
            }
            Preparer::Image(images) => images
                .pack(column, rows, threads, tensors)
                .map_err(|error| unreadable_image(&plan.model, &feature.name, rows.get(error.row), &error.reason)),
        }
    }
}
