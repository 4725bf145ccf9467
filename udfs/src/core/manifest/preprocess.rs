//! How texts and images become tensors: `prepare` in model.json.

use serde::Deserialize;
use serde_json::Value;

use super::fields::quoted;
use crate::core::error::{Error, Result};

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
        let unknown = |e: serde_json::Error| Error::new(format!("a preparation that is not known ({e})"));
        if fields.is_null() {
            return Ok(None);
        }
        if !fields.is_object() {
            return Err(Error::new("a preparation that is none".to_string()));
        }
        if fields.get("words").is_some() {
            return serde_json::from_value(fields).map(|fields| Some(Prepare::Words(fields))).map_err(unknown);
        }
        if fields.get("image").is_none() {
            return serde_json::from_value(fields).map(|fields| Some(Prepare::Text(fields))).map_err(unknown);
        }
        let fields: ImageFields = serde_json::from_value(fields).map_err(unknown)?;
        if !matches!(fields.image.as_str(), "RGB" | "L") {
            return Err(Error::new(format!("images as {}, which is not known", quoted(&fields.image))));
        }
        let steps: Option<Vec<Step>> = fields.steps.into_iter().map(Step::parse).collect();
        let steps = steps.ok_or_else(|| Error::new("a step of images that is not known".to_string()))?;
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

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StepFields {
    r#do: String,
    size: Vec<f64>,
    how: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Resize(usize, usize, Way),
    /// The shorter side to that length.
    Shorter(usize, Way),
    Crop(usize, usize, Rounding),
    /// The middle, of that share of the shorter side.
    Share(f64, f64, Rounding),
}

/// Where a middle begins, in half pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rounding {
    Floor,
    Zero,
    Even,
}

const LONGEST_SIDE: f64 = 65536.0;

impl Step {
    /// None of what is not known.
    pub fn parse(fields: StepFields) -> Option<Step> {
        let shares = fields.r#do == "share";
        let fits = |side: &f64| *side > 0.0 && *side <= LONGEST_SIDE && (shares || side.fract() == 0.0);
        if !fields.size.iter().all(fits) {
            return None;
        }
        let way = Way::named(&fields.how);
        let rounding = match fields.how.as_str() {
            "floor" => Some(Rounding::Floor),
            "zero" => Some(Rounding::Zero),
            "even" => Some(Rounding::Even),
            _ => None,
        };
        match (fields.r#do.as_str(), fields.size.as_slice()) {
            ("resize", [height, width]) => way.map(|how| Step::Resize(*height as usize, *width as usize, how)),
            ("shorter", [length]) => way.map(|how| Step::Shorter(*length as usize, how)),
            ("crop", [height, width]) => rounding.map(|how| Step::Crop(*height as usize, *width as usize, how)),
            ("share", [height, width]) => rounding.map(|how| Step::Share(*height, *width, how)),
            _ => None,
        }
    }

    /// The height and the width of an image afterwards.
    pub fn size_of(&self, height: usize, width: usize) -> (usize, usize) {
        let shorter = height.min(width).max(1);
        match *self {
            Step::Resize(height, width, _) | Step::Crop(height, width, _) => (height, width),
            Step::Shorter(length, _) => (length * height / shorter, length * width / shorter),
            Step::Share(high, wide, _) => ((high * shorter as f64) as usize, (wide * shorter as f64) as usize),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    Nearest,
    Lanczos,
    Linear,
    Cubic,
    Box,
    Hamming,
}

/// ``across``: the columns are made first, whatever the sizes, as torchvision and Pillow before 13 do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub filter: Filter,
    pub across: bool,
}

impl Way {
    /// The name of a filter, and perhaps " across".
    pub fn named(name: &str) -> Option<Way> {
        let stem = name.strip_suffix(" across");
        Filter::named(stem.unwrap_or(name)).map(|filter| Way { filter, across: stem.is_some() })
    }
}

impl Filter {
    fn named(name: &str) -> Option<Filter> {
        Some(match name {
            "nearest" => Filter::Nearest,
            "lanczos" => Filter::Lanczos,
            "linear" => Filter::Linear,
            "cubic" => Filter::Cubic,
            "box" => Filter::Box,
            "hamming" => Filter::Hamming,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_are_not_known_are_none() {
        let step = |text: &str| Step::parse(serde_json::from_str(text).unwrap());
        assert_eq!(
            step(r#"{"do": "shorter", "size": [256], "how": "box"}"#),
            Way::named("box").map(|way| Step::Shorter(256, way))
        );
        assert_eq!(
            step(r#"{"do": "share", "size": [0.5, 1], "how": "even"}"#),
            Some(Step::Share(0.5, 1.0, Rounding::Even))
        );
        for bad in [
            r#"{"do": "shorter", "size": [256, 3], "how": "box"}"#,
            r#"{"do": "crop", "size": [2, 3], "how": "box"}"#,
            r#"{"do": "resize", "size": [2, 0], "how": "box"}"#,
            r#"{"do": "resize", "size": [2, 0.5], "how": "box"}"#,
            r#"{"do": "resize", "size": [2, 1e9], "how": "box"}"#,
            r#"{"do": "turn", "size": [2, 3], "how": "floor"}"#,
        ] {
            assert_eq!(step(bad), None, "{bad}");
        }
    }
}
