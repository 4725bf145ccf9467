//! The positive class of binary labels, and whether it is one of them.

use super::classes::{Key, Label, name, no_positive};
use super::given::Binary;
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};

/// The labels of rows that are of the positive class or not: what else there is tells whether the class is one of them.
#[derive(Debug, Clone, Default)]
pub struct Met {
    /// As it was named.
    positive: Option<Label>,
    is_met: bool,
    /// Two at most.
    others: Vec<Label>,
}

impl Met {
    pub fn see(&mut self, given: &Binary, rows: Rows) -> Result<()> {
        let Some(labels) = &given.labels else { return Ok(()) };
        name(&mut self.positive, given.positive.as_ref())?;
        for row in rows.iter() {
            if self.positive.is_some() && (self.is_met || self.others.len() == 2) {
                return Ok(());
            }
            match given.is_positive[row] {
                true => self.is_met = true,
                false => self.meet(labels.get(row))?,
            }
        }
        Ok(())
    }

    fn meet(&mut self, other: Key) -> Result<()> {
        if self.others.len() < 2 && self.others.iter().all(|label| label.key() != other) {
            self.others.push(other.label());
        }
        match (&self.positive, &self.others[..]) {
            (None, [one, other]) => Err(Error::of(
                Code::Call,
                format!("labels are 1, {} and {}: name the positive class as a third argument", one.key(), other.key()),
            )),
            _ => Ok(()),
        }
    }

    pub fn merge(&mut self, other: &Met) -> Result<()> {
        name(&mut self.positive, other.positive.as_ref())?;
        self.is_met |= other.is_met;
        other.others.iter().try_for_each(|label| self.meet(label.key()))
    }

    /// A class that was named is that of a row, unless all rows are of one other class.
    pub fn require(&self) -> Result<()> {
        match (&self.positive, self.is_met, &self.others[..]) {
            (Some(positive), false, [one, other]) => {
                Err(no_positive(positive, &[one, other].map(|label| label.key().to_string())))
            }
            _ => Ok(()),
        }
    }
}
