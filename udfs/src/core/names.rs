//! Arguments that are given by name, where the host tells what arguments are called.

use super::error::{Error, Result, misplaced_feature, name_every_feature, unknown_feature};

/// What an argument is called.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    Nothing,
    /// `a := …`
    Named(String),
    /// It is a column of this name, or was given it: the host does not tell which.
    Column(String),
}

/// Whether features are given by name. Columns alone may be given either way: where that would not be the same, it is an error.
pub fn are_named(model: &str, features: &[String], called: &[Called]) -> Result<bool> {
    let place = |name: &str| features.iter().position(|feature| feature.to_lowercase() == name.to_lowercase());
    if called.iter().any(|called| matches!(called, Called::Named(_))) {
        for argument in called {
            match argument {
                Called::Named(name) if place(name).is_none() => return Err(unknown_feature(model, name, features)),
                Called::Nothing => return Err(name_every_feature(model, features)),
                Called::Column(name) if place(name).is_none() => return Err(name_every_feature(model, features)),
                _ => {}
            }
        }
        return Ok(true);
    }
    if called.len() == features.len() {
        for (i, argument) in called.iter().enumerate() {
            if let Called::Column(name) = argument
                && place(name).is_some_and(|place| place != i)
            {
                return Err(misplaced_feature(model, name, &features[i], features));
            }
        }
    }
    Ok(false)
}

/// The name of an argument that `are_named`.
pub fn name_of(called: &Called) -> Result<String> {
    match called {
        Called::Named(name) | Called::Column(name) => Ok(name.clone()),
        Called::Nothing => Err(Error::new("an argument has no name".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(called: &[Called]) -> Result<bool> {
        are_named("m", &["age".to_string(), "Income".to_string()], called)
    }

    fn named(name: &str) -> Called {
        Called::Named(name.to_string())
    }

    fn column(name: &str) -> Called {
        Called::Column(name.to_string())
    }

    #[test]
    fn names_are_told_from_places() {
        assert_eq!(asked(&[Called::Nothing, Called::Nothing]), Ok(false));
        assert_eq!(asked(&[named("income"), named("AGE")]), Ok(true));
        assert_eq!(asked(&[named("income"), column("age")]), Ok(true));
        assert_eq!(asked(&[column("age"), column("income")]), Ok(false));
        assert_eq!(asked(&[column("x"), column("y")]), Ok(false));
        assert_eq!(asked(&[column("x"), Called::Nothing]), Ok(false));
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let says = |called: &[Called]| asked(called).unwrap_err().text;
        assert!(says(&[column("income"), column("age")]).contains("'income' stands where 'age' is expected"));
        assert!(says(&[column("x"), column("age")]).contains("'age' stands where 'Income' is expected"));
        assert!(says(&[named("agee"), named("income")]).contains("has no feature 'agee'; did you mean 'age'?"));
        assert!(says(&[named("age"), Called::Nothing]).contains("name every feature or none"));
        assert!(says(&[named("age"), column("x")]).contains("name every feature or none"));
    }
}
