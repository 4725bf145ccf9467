//! Values → a tensor's type, or the error that shows the cast to write.

use super::cells::Cells;
use super::column::Rows;
use super::convert::{Slot, numbers, texts};
use super::error::{Error, Result, feature_type};
use super::manifest::Feature;
use super::plan::{Plan, Reader, ReaderKind};
use crate::sys::tensor::{Buffer, Dtype, Texts};

/// Read the values of lists, one after the other.
pub fn convert_leaves(
    plan: &Plan,
    feature: &Feature,
    reader: &Reader,
    cells: &Cells,
    buffer: &mut Buffer,
) -> Result<()> {
    let kind = match &reader.kind {
        ReaderKind::Cells(inner) => inner,
        kind => kind,
    };
    let mut start = 0;
    for (first, count) in &cells.runs {
        let rows = Rows::Range(*first, *count);
        match (kind, &mut *buffer) {
            (ReaderKind::Number(number), buffer) => {
                let place = Slot { buffer, start, width: 1, at: 0 };
                numbers(cells.leaf, *number, rows, place)
                    .map_err(|misfit| misfits(plan, feature, reader, &misfit.0))?;
            }
            (ReaderKind::Text(words), Buffer::Text(out)) => {
                let words = words.as_ref().map(|w| w.as_slice());
                let mut part = Texts { bytes: std::mem::take(&mut out.bytes), cells: vec![(0, 0); *count] };
                texts(cells.leaf, words, rows, &mut part, 1, 0);
                out.bytes = part.bytes;
                out.cells[start..start + count].copy_from_slice(&part.cells);
            }
            _ => {}
        }
        start += count;
    }
    Ok(())
}

/// A value that the feature's type does not hold.
pub fn misfits(plan: &Plan, feature: &Feature, reader: &Reader, value: &str) -> Error {
    let name = &feature.name;
    let given = format!("a {} that does not fit ({value})", reader.given);
    let whole = match plan.manifest.inputs[feature.input].dtype {
        Dtype::Bool => "BOOLEAN",
        _ => feature.sql_type.split('[').next().unwrap_or_default(),
    };
    let fix = format!("write CAST(round({name}) AS {whole}) if that is what you mean");
    feature_type(&plan.model, name, &given, &feature.sql_type, &fix)
}
