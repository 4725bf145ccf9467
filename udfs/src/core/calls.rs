//! The table of calls: each is one entry here, which all doors read, and its computation. The Python package has the same
//! one in sqlinfer/models/calls.py.

use serde::Serialize;

use super::error::{Result, no_answer};
use super::manifest::{CallSpec, Manifest};
use super::reference::Reference;
use super::sqltype::SqlType;

/// A call that SQL, or a program, can make of a model.
#[derive(Debug, Serialize)]
pub struct Call {
    pub name: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
    /// What of the manifest's `calls` it answers with: a model without that has no such call.
    pub answers: &'static str,
    /// What it answers of any model where the host gives a function one type; None where there is no such function.
    pub fixed: Option<&'static str>,
    /// Whether it answers what the model does, in a type of its own: then each model has a function for it, and
    /// `sqlinfer_functions()` tells of it.
    pub is_typed: bool,
    /// Whether a constant behind the features picks a class from its map.
    pub takes_class: bool,
}

pub static CALLS: [Call; 4] = [
    Call {
        name: "predict",
        help: "the label or the number that the model predicts",
        answers: "predict",
        fixed: Some("DOUBLE"),
        is_typed: true,
        takes_class: false,
    },
    Call {
        name: "predict_label",
        help: "the label that the model predicts, as a text",
        answers: "predict",
        fixed: Some("VARCHAR"),
        is_typed: false,
        takes_class: false,
    },
    Call {
        name: "predict_proba",
        help: "the probability of each class, or of one",
        answers: "predict_proba",
        fixed: Some("MAP(VARCHAR, DOUBLE)"),
        is_typed: true,
        takes_class: true,
    },
    Call {
        name: "infer",
        help: "every output of the model, by name",
        answers: "infer",
        fixed: None,
        is_typed: true,
        takes_class: false,
    },
];

/// The calls that answer as the model does.
pub fn typed() -> impl Iterator<Item = &'static Call> {
    CALLS.iter().filter(|call| call.is_typed)
}

pub fn find(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name == name)
}

impl Call {
    /// What the model answers it with; an error of what else it answers.
    pub fn of<'a>(&self, manifest: &'a Manifest) -> Result<&'a CallSpec> {
        manifest.calls.get(self.answers).ok_or_else(|| {
            let offers = typed().filter(|call| manifest.calls.contains_key(call.answers));
            let offers: Vec<String> = offers.map(|call| call.name.to_string()).collect();
            no_answer(&format!("{}/{}", manifest.name, manifest.version), self.answers, &offers)
        })
    }

    /// The type of what `spec` answers; of one class of its map where `class` is.
    pub fn type_of(&self, spec: &CallSpec, class: Option<usize>) -> SqlType {
        match (class, &spec.sql_type) {
            (Some(_), SqlType::Map(_, probability)) => *probability.clone(),
            (_, own) => own.clone(),
        }
    }

    /// The function of one model.
    pub fn function_of(&self, reference: &Reference) -> String {
        match self.name {
            "predict" => format!("predict_{reference}"),
            name => format!("{name}({reference})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::{parsed, sample};
    use super::*;

    #[test]
    fn a_model_says_what_it_answers() {
        let manifest = parsed(sample()).unwrap();
        let has = |name: &str| find(name).unwrap().of(&manifest).map(|spec| spec.sql_type.to_string());
        assert_eq!(has("predict_label").unwrap(), "VARCHAR");
        assert_eq!(has("predict_proba").unwrap(), "MAP(VARCHAR, FLOAT)");
        let error = has("infer").unwrap_err().to_string();
        assert_eq!(error, "model 'churn/1' has no infer(): it answers predict(), predict_proba()");
        let proba = find("predict_proba").unwrap();
        assert_eq!(proba.type_of(proba.of(&manifest).unwrap(), Some(1)).to_string(), "FLOAT");
    }

    #[test]
    fn functions_of_models_have_names_of_their_own() {
        let reference = Reference::parse("churn/3").unwrap();
        let names: Vec<String> = typed().map(|call| call.function_of(&reference)).collect();
        assert_eq!(names, ["predict_churn/3", "predict_proba(churn/3)", "infer(churn/3)"]);
    }
}
