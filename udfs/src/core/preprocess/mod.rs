//! Models of texts and images: features that are prepared by a library before they are tensors.
//!
//! Such a model costs far more than looking, so equal rows are scored once, and rows are put together so that the
//! model computes as little as possible.

mod image;
mod picture;
mod resample;
mod steps;
pub mod text;
mod words;

use crate::core::column::{Column, Rows};
use crate::core::error::{Result, unreadable_image, unreadable_text};
use crate::core::manifest::preprocess::Prepare;
use crate::core::manifest::{Feature, Manifest};
use crate::core::packed::Packed;
use crate::core::plan::{Plan, Reader};
use image::Images;
pub use image::{decode, dimensions};
pub use text::TOKENS_PER_RUN;
use text::Texts;
use words::Words;

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
                .map_err(|reason| unreadable_text(&plan.model, &feature.name, &reason)),
            Preparer::Words(words) => {
                let packed = &mut tensors[feature.input];
                let width = packed.width;
                let place = (&mut packed.buffer, width, feature.column.unwrap_or(0));
                words.pack(reader, &feature.null, column, rows, place);
                Ok(Vec::new())
            }
            Preparer::Image(images) => images
                .pack(column, rows, threads, tensors)
                .map_err(|reason| unreadable_image(&plan.model, &feature.name, &reason)),
        }
    }
}
