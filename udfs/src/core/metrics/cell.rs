//! One answer of an aggregate.

/// A value of any type of answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Boolean(bool),
    BigInt(i64),
    Double(f64),
    Text(String),
    /// A struct that is NULL has fields that are.
    Struct(Vec<Cell>),
    List(Vec<Cell>),
}

impl Cell {
    /// A count of rows.
    pub fn count(rows: u64) -> Cell {
        Cell::BigInt(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    pub fn optional(value: Option<f64>) -> Cell {
        value.map_or(Cell::Null, Cell::Double)
    }
}
