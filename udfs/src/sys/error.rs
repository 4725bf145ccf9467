//! What a query is told when it cannot be answered.

use std::fmt;

/// What kind of error it is. Programs that see only the text of an error ask for its code by the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The text does not name a model.
    BadReference,
    /// No such model, version, alias or answer.
    ModelNotFound,
    /// A call that cannot be understood.
    Call,
    /// The features given are not those of the model; the next ones say more of it.
    Feature,
    MissingFeature,
    UnknownFeature,
    FeatureCount,
    FeatureType,
    NullFeature,
    /// A file that is no model that can be run.
    InvalidModel,
    /// The folder of models cannot be read.
    Registry,
    /// ONNX Runtime refused the rows.
    ModelFailed,
    /// What sqlinfer needs is not there, or may not be used.
    Engine,
    /// Whoever asked has told the query to end.
    Interrupted,
    /// Anything else: of the host, or a fault of ours.
    Other,
}

impl Code {
    /// By this name other languages know it.
    pub fn name(self) -> &'static std::ffi::CStr {
        match self {
            Code::BadReference => c"bad_reference",
            Code::ModelNotFound => c"model_not_found",
            Code::Call => c"call",
            Code::Feature => c"feature",
            Code::MissingFeature => c"missing_feature",
            Code::UnknownFeature => c"unknown_feature",
            Code::FeatureCount => c"feature_count",
            Code::FeatureType => c"feature_type",
            Code::NullFeature => c"null_feature",
            Code::InvalidModel => c"invalid_model",
            Code::Registry => c"registry",
            Code::ModelFailed => c"model_failed",
            Code::Engine => c"engine",
            Code::Interrupted => c"interrupted",
            Code::Other => c"other",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    pub code: Code,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Of no kind that anybody needs to tell from others.
    pub fn new(text: impl Into<String>) -> Error {
        Error::of(Code::Other, text)
    }

    pub fn of(code: Code, text: impl Into<String>) -> Error {
        Error { code, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
