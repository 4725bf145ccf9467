//! Manifests, types, records of the registry, and models: what they say, and all that is done with it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::batches::{Held, arguments, held};
use super::{Dice, Folder, damage, fuzz};
use crate::core::column::{Column, Rows};
use crate::core::error::{Error, Result, brief, no_model};
use crate::core::formula::Formula;
use crate::core::manifest::tests::sample;
use crate::core::manifest::{CallSpec, Manifest, validate};
use crate::core::outputs::{Answers, Decoder};
use crate::core::pack::{Packer, kept};
use crate::core::packed::Packed;
use crate::core::plan::Plan;
use crate::core::preprocess::preparers;
use crate::core::protobuf::{Field, fields, numbers};
use crate::core::reference::Reference;
use crate::core::registry::Registry;
use crate::core::sqltype::{Plain, SqlType};
use crate::core::tree_limits::Trees;
use crate::sys::tensor::{Buffer, Dtype, Tensor, Texts};

/// Of models whose features are columns, lists, nested lists, and both; and of sums.
fn manifests() -> Vec<Value> {
    let with = |changes: Value| {
        let mut fields = sample();
        fields["labels"] = Value::Null;
        changes.as_object().unwrap().iter().for_each(|(name, value)| fields[name] = value.clone());
        fields
    };
    let numbers = json!([{"name": "y", "dtype": "float32", "shape": [null, 1], "type": "FLOAT[1]"}]);
    let predict = json!({"predict": {"type": "FLOAT[1]", "decode": "tensor", "outputs": ["y"]}});
    let columns = |dtype: &str, sql_type: &str, count: usize| {
        let feature =
            |i: usize| json!({"name": format!("f{i}"), "type": sql_type, "null": "null", "tensor": "X", "column": i});
        json!({
            "features": (0..count).map(feature).collect::<Vec<_>>(),
            "inputs": [{"name": "X", "dtype": dtype, "shape": [null, count]}],
            "outputs": numbers, "calls": predict,
        })
    };
    let whole = |dtype: &str, sql_type: &str, shape: Value| {
        json!({
            "features": [{"name": "x", "type": sql_type, "null": "null", "tensor": "X", "column": null}],
            "inputs": [{"name": "X", "dtype": dtype, "shape": shape}],
            "outputs": numbers, "calls": predict,
        })
    };
    let mut sums = columns("float64", "DOUBLE", 5);
    sums["kernel"] = json!({"weights": [[1, 0.5, -2, 1e300, 3]], "intercepts": [0.25]});
    let mut several = whole("int64", "BIGINT[]", json!([null, null]));
    several["features"].as_array_mut().unwrap().extend([
        json!({"name": "k", "type": "INTEGER", "null": {"value": 7}, "tensor": "K", "column": null}),
        json!({"name": "b", "type": "FLOAT[2][]", "null": "error", "tensor": "B", "column": null}),
    ]);
    several["inputs"].as_array_mut().unwrap().extend([
        json!({"name": "K", "dtype": "int32", "shape": [null], "shared": true}),
        json!({"name": "B", "dtype": "float16", "shape": [null, null, 2]}),
    ]);
    several["outputs"] = json!([
        {"name": "y", "dtype": "float32", "shape": [null, null, 2], "type": "FLOAT[2][]"},
        {"name": "z", "dtype": "int8", "shape": [null], "type": "TINYINT"},
        {"name": "t", "dtype": "string", "shape": [null, 2], "type": "VARCHAR[2]"},
    ]);
    several["calls"] = json!({
        "predict": {"type": "FLOAT[2][]", "decode": "tensor", "outputs": ["y"]},
        "infer": {
            "type": "STRUCT(\"y\" FLOAT[2][], \"z\" TINYINT, \"t\" VARCHAR[2])", "decode": "struct",
            "outputs": ["y", "z", "t"],
        },
    });
    let mut scores = columns("float32", "FLOAT", 3);
    scores["labels"] = json!({"type": "BIGINT", "values": [3, 5, 8]});
    scores["outputs"] = json!([{"name": "y", "dtype": "float32", "shape": [null, 3], "type": "FLOAT[3]"}]);
    scores["calls"] = json!({
        "predict": {"type": "BIGINT", "decode": "argmax", "outputs": ["y"]},
        "predict_proba": {"type": "MAP(BIGINT, FLOAT)", "decode": "map", "outputs": ["y"]},
    });
    let mut all = vec![sample(), with(sums), with(several), with(scores)];
    for (dtype, sql_type) in [
        ("float32", "FLOAT"),
        ("float16", "FLOAT"),
        ("bfloat16", "FLOAT"),
        ("int8", "TINYINT"),
        ("uint16", "USMALLINT"),
        ("int64", "BIGINT"),
        ("uint64", "UBIGINT"),
        ("bool", "BOOLEAN"),
        ("string", "VARCHAR"),
    ] {
        all.push(with(columns(dtype, sql_type, 11)));
        all.push(with(whole(dtype, &format!("{sql_type}[]"), json!([null, null]))));
        all.push(with(whole(dtype, &format!("{sql_type}[3][2]"), json!([null, 2, 3]))));
    }
    all.push(with(whole("uint8", "UTINYINT[3][][]", json!([null, null, null, 3]))));
    all
}

#[test]
fn manifests_and_batches() {
    let sound = manifests();
    fuzz("manifests", |dice| {
        let mut document = dice.of(&sound).clone();
        if !dice.one_in(3) {
            damage::document(&mut document, dice);
        }
        let mut content = document.to_string().into_bytes();
        if dice.one_in(8) {
            content = damage::bytes(&content, dice);
        }
        let read = validate::of(&content, Path::new("/nowhere/model.json"));
        read.and_then(|manifest| scored(manifest, &[], dice)).into()
    });
}

/// Arguments → what the graph is given, and what it gives → answers; as binding and running a call do.
pub fn scored(manifest: Manifest, texts: &[Vec<u8>], dice: &mut Dice) -> Result<()> {
    let given = arguments(&manifest, dice);
    let manifest = Arc::new(manifest);
    let mut rows = dice.rows();
    if rows > 1000 && manifest.is_prepared() && !dice.one_in(20) {
        rows = 513; // a hundred thousand images take half a minute
    }
    let plan = Plan::new("m", manifest.clone(), &given)?;
    let widest = manifest.inputs.iter().flat_map(|input| input.axes.iter().flatten()).max().copied().unwrap_or(2);
    let length = if manifest.takes_list() { manifest.features.len() } else { widest };
    let length = length.min(if rows > 1000 { 4 } else { 40 });
    let columns: Vec<Held> = given.iter().map(|given| held(given, rows, length, texts, dice)).collect();
    let columns: Vec<Column> = columns.iter().map(Held::column).collect();
    decoded(&manifest, rows.min(513), dice);
    let sums = Formula::of_manifest(&manifest).and_then(|sums| sums.of_arguments(&plan, &columns, rows));
    sums.iter().for_each(|sums| assert_eq!(sums.data.len(), sums.rows() * sums.width()));
    let mut packer = Packer::new(&plan);
    if manifest.features.iter().any(|feature| feature.prepare.is_some()) {
        packer.preparers = preparers(&manifest)?.into();
        packer.threads = 1 + dice.below(2);
    }
    for _ in 0..2 {
        pack(&mut packer, &plan, &columns, rows)?; // the second time into what the first has left
        if packer.groups.is_empty() {
            fits(&packer.tensors, packer.count);
        }
        let mut seen = vec![false; packer.count];
        for group in &packer.groups {
            let rows = group.rows.as_ref().unwrap();
            fits(&group.tensors, rows.len());
            rows.iter().for_each(|row| assert!(!std::mem::replace(&mut seen[*row as usize], true)));
        }
        assert!(packer.groups.is_empty() || seen.iter().all(|row| *row), "rows that are in no group");
    }
    Ok(())
}

fn pack(packer: &mut Packer, plan: &Plan, columns: &[Column], rows: usize) -> Result<()> {
    if !plan.manifest.is_prepared() {
        return packer.pack(plan, columns, rows);
    }
    let columns = plan.columns(columns);
    let keep = kept(plan, &columns, rows)?.unwrap_or_else(|| (0..rows as u32).collect());
    match keep.is_empty() {
        true => Ok(()),
        false => packer.pack_rows(plan, &columns, Rows::Picked(&keep)),
    }
}

/// ONNX Runtime reads as many values as the shape says.
fn fits(tensors: &[Packed], rows: usize) {
    for tensor in tensors.iter().filter(|_| rows > 0) {
        assert_eq!(tensor.inner.iter().product::<usize>(), tensor.width);
        assert!(
            tensor.buffer.len() >= rows * tensor.width,
            "{} values of {rows} x {}",
            tensor.buffer.len(),
            tensor.width
        );
        if let Buffer::Text(texts) = &tensor.buffer {
            (0..texts.cells.len()).for_each(|i| assert!(texts.get(i).len() <= texts.bytes.len()));
        }
    }
}

/// What a graph may answer, which need not be what the manifest says.
fn decoded(manifest: &Manifest, rows: usize, dice: &mut Dice) {
    for call in manifest.calls.values() {
        let mut names = call.outputs.clone();
        names.sort_unstable();
        names.dedup();
        let others = ["DOUBLE", "VARCHAR", "MAP(VARCHAR, DOUBLE)"].map(|text| SqlType::parse(text).unwrap());
        let target = if dice.one_in(2) { call.sql_type.clone() } else { dice.of(&others).clone() };
        let mut tensors: Vec<Tensor> = names.iter().map(|name| answer(manifest, name, rows, dice)).collect();
        if let Ok(answers) = decode(manifest, call, &target, &names, &mut tensors) {
            is_of(&target, &answers);
        }
    }
}

fn decode(
    manifest: &Manifest,
    call: &CallSpec,
    target: &SqlType,
    names: &[String],
    given: &mut [Tensor],
) -> Result<Answers> {
    Decoder::new(manifest, call, target, names)?.answers(given)
}

fn answer(manifest: &Manifest, name: &str, rows: usize, dice: &mut Dice) -> Tensor {
    let output = manifest.outputs.iter().find(|output| output.name == name).unwrap();
    let odd = dice.one_in(4);
    let mut shape = vec![rows];
    let axis = |axis: &Option<usize>, dice: &mut Dice| axis.filter(|_| !odd).unwrap_or_else(|| dice.below(4));
    shape.extend(output.axes.iter().map(|known| axis(known, dice)));
    if dice.one_in(16) {
        shape.push(dice.below(3));
    }
    if shape.iter().product::<usize>() > 1 << 20 {
        shape[0] = 0;
    }
    let dtype = if dice.one_in(8) { *dice.of(&DTYPES) } else { output.dtype };
    Tensor { data: buffer(dtype, shape.iter().product(), dice), shape }
}

pub const DTYPES: [Dtype; 14] = [
    Dtype::F32,
    Dtype::F64,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::I8,
    Dtype::I16,
    Dtype::I32,
    Dtype::I64,
    Dtype::U8,
    Dtype::U16,
    Dtype::U32,
    Dtype::U64,
    Dtype::Bool,
    Dtype::Text,
];

pub fn buffer(dtype: Dtype, count: usize, dice: &mut Dice) -> Buffer {
    let mut buffer = Buffer::new(dtype);
    buffer.reset(count);
    let many = *dice.of(&[2, 5, 1_000_000]);
    macro_rules! fill {
        ($values:ident, $type:ty) => {
            $values.iter_mut().for_each(|value| *value = dice.below(many) as $type)
        };
    }
    match &mut buffer {
        Buffer::F32(v) => v.iter_mut().for_each(|value| *value = dice.number() as f32),
        Buffer::F64(v) => v.iter_mut().for_each(|value| *value = dice.number()),
        Buffer::F16(v) | Buffer::Bf16(v) | Buffer::U16(v) => fill!(v, u16),
        Buffer::I8(v) => fill!(v, i8),
        Buffer::I16(v) => fill!(v, i16),
        Buffer::I32(v) => fill!(v, i32),
        Buffer::I64(v) => v.iter_mut().for_each(|value| *value = dice.integer()),
        Buffer::U8(v) => fill!(v, u8),
        Buffer::U32(v) => fill!(v, u32),
        Buffer::U64(v) => v.iter_mut().for_each(|value| *value = dice.bits()),
        Buffer::Bool(v) => v.iter_mut().for_each(|value| *value = dice.below(2) as u8),
        Buffer::Text(texts) => *texts = Texts::of((0..count).map(|_| "ab".repeat(dice.below(4)))),
    }
    buffer
}

/// DuckDB's vector is of the type of the function: what is written into it must be, too.
fn is_of(sql_type: &SqlType, answers: &Answers) {
    match (sql_type, answers) {
        (SqlType::Plain(plain), Answers::Plain(buffer)) => assert!(holds(buffer, *plain), "{sql_type}: {answers:?}"),
        (SqlType::List(child), Answers::Nested { fixed: false, child: inner, .. }) => is_of(child, inner),
        (SqlType::Array(child, size), Answers::Nested { fixed: true, size: given, child: inner }) if size == given => {
            is_of(child, inner);
        }
        (SqlType::Struct(fields), Answers::Struct(parts)) if fields.len() == parts.len() => {
            fields.iter().zip(parts).for_each(|((_, field), part)| is_of(field, part));
        }
        (SqlType::Map(key, value), Answers::Map { keys, values }) => {
            let holds = |sql_type: &SqlType, buffer| matches!(sql_type, SqlType::Plain(plain) if holds(buffer, *plain));
            assert!(holds(key, keys) && holds(value, values), "{sql_type}: {answers:?}");
        }
        _ => panic!("{sql_type}: {answers:?}"),
    }
}

fn holds(buffer: &Buffer, plain: Plain) -> bool {
    matches!(
        (buffer, plain),
        (Buffer::Bool(_), Plain::Boolean)
            | (Buffer::I8(_), Plain::TinyInt)
            | (Buffer::I16(_), Plain::SmallInt)
            | (Buffer::I32(_), Plain::Integer)
            | (Buffer::I64(_), Plain::BigInt)
            | (Buffer::U8(_), Plain::UTinyInt)
            | (Buffer::U16(_), Plain::USmallInt)
            | (Buffer::U32(_), Plain::UInteger)
            | (Buffer::U64(_), Plain::UBigInt)
            | (Buffer::F32(_), Plain::Float)
            | (Buffer::F64(_), Plain::Double)
            | (Buffer::Text(_), Plain::Varchar)
    )
}

/// A type of so many levels at most.
fn drawn(levels: usize, dice: &mut Dice) -> String {
    match dice.below(if levels > 0 { 6 } else { 2 }) {
        0 => "FLOAT".to_string(),
        1 => "VARCHAR".to_string(),
        2 => format!("{}[]", drawn(levels - 1, dice)),
        3 => format!("{}[{}]", drawn(levels - 1, dice), dice.below(500)),
        4 => format!("MAP({}, {})", drawn(levels - 1, dice), drawn(levels - 1, dice)),
        _ => format!("STRUCT(\"a\" {}, \"b\"\"c\" {})", drawn(levels - 1, dice), drawn(levels - 1, dice)),
    }
}

#[test]
fn types() {
    const PARTS: [&str; 16] = [
        "FLOAT",
        "VARCHAR",
        "double",
        "STRUCT(",
        "MAP(",
        "\"a\" ",
        "\"a\"\"b\" ",
        ")",
        ", ",
        "[]",
        "[3]",
        "[100000]",
        "[",
        "[x]",
        " ",
        "é",
    ];
    fuzz("types", |dice| {
        let mut text: String = (0..dice.below(12)).map(|_| *dice.of(&PARTS)).collect();
        if dice.one_in(2) {
            text = drawn(3, dice);
        }
        if dice.one_in(3) {
            text = format!("{}{text}{}", "STRUCT(\"a\" ".repeat(dice.below(40)), ")".repeat(dice.below(40)));
        }
        if dice.one_in(3) {
            text = String::from_utf8_lossy(&damage::bytes(text.as_bytes(), dice)).into_owned();
        }
        let parsed = SqlType::parse(&text).and_then(|parsed| {
            let written = parsed.to_string();
            assert_eq!(SqlType::parse(&written).unwrap(), parsed);
            let _ = (parsed.axes(), parsed.is_scalar());
            parsed.require_answer()
        });
        parsed.into()
    });
}

#[test]
fn registries() {
    let folder = Folder::new("registry");
    let model = folder.0.join("models/m");
    fs::create_dir_all(model.join("1")).unwrap();
    fs::write(model.join("1/model.json"), sample().to_string()).unwrap();
    let registry = Registry { home: folder.0.clone() };
    fuzz("registries", |dice| {
        let mut aliases = json!({"default": 1, "champion": 1, "old": 2});
        if !dice.one_in(3) {
            damage::document(&mut aliases, dice);
        }
        let mut content = aliases.to_string().into_bytes();
        if dice.one_in(4) {
            content = damage::bytes(&content, dice);
        }
        fs::write(model.join("aliases.json"), content).unwrap();
        let names = [
            "m",
            "m",
            "m/1",
            "m/1",
            "M@Default",
            "m/2",
            "M@champion",
            "m@old",
            "m@x",
            "n",
            "m/99999999999",
            "",
            "é@",
            "m@default/1",
        ];
        let mut name = dice.of(&names).to_string();
        if dice.one_in(3) {
            name = String::from_utf8_lossy(&damage::bytes(name.as_bytes(), dice)).into_owned();
        }
        let _ = (brief(&name.repeat(300)), no_model(&name, std::slice::from_ref(&name), "/"));
        assert!(registry.all().is_ok_and(|all| all.len() == 1));
        let read = Reference::parse(&name).and_then(|reference| {
            assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
            registry.get(&reference)
        });
        read.into()
    });
}

/// A field of Protocol Buffers that holds bytes.
fn framed(number: u32, content: &[u8]) -> Vec<u8> {
    [varint(u64::from(number << 3 | 2)), varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model of one node of trees, whose lists are mostly of one length.
fn trees(dice: &mut Dice) -> Vec<u8> {
    const NAMES: [&str; 3] = ["TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble"];
    const LISTS: [&str; 9] = [
        "nodes_treeids",
        "nodes_nodeids",
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_trueleafs",
        "nodes_falseleafs",
        "class_ids",
        "classlabels_int64s",
    ];
    let count = *dice.of(&[0, 1, 3, 7, 50, 5_000]);
    let chain = dice.one_in(2);
    let attribute = |name: &str, parts: Vec<Vec<u8>>| framed(5, &[framed(1, name.as_bytes()), parts.concat()].concat());
    let mut node = framed(4, dice.of(&NAMES).as_bytes());
    for name in LISTS {
        let length = if dice.one_in(16) { dice.below(9) } else { count };
        let value = |i: usize, dice: &mut Dice| match name {
            _ if dice.one_in(64) => dice.integer(),
            "nodes_treeids" | "nodes_trueleafs" => 0,
            "nodes_nodeids" => i as i64,
            "nodes_truenodeids" if chain => i as i64 + 1,
            _ => dice.below(count + 1) as i64,
        };
        let values: Vec<Vec<u8>> = (0..length).map(|i| varint(value(i, dice) as u64)).collect();
        let packed = dice.one_in(2);
        let parts = if packed {
            vec![framed(8, &values.concat())]
        } else {
            values.into_iter().map(|value| [varint(8 << 3), value].concat()).collect()
        };
        node.extend(attribute(name, parts));
    }
    let modes = (0..count).map(|_| framed(9, if dice.one_in(8) { b"LEAF" } else { b"BRANCH_LEQ" })).collect();
    node.extend(attribute("nodes_modes", modes));
    node.extend(attribute("n_targets", vec![varint(3 << 3), varint(dice.integer() as u64)]));
    node.extend(attribute("post_transform", vec![framed(4, dice.of::<&[u8]>(&[b"PROBIT", b"NONE"]))]));
    let mut graph = framed(1, &node);
    for _ in 0..*dice.of(&[0, 0, 1, 3, 150]) {
        let inside = framed(5, &[framed(1, b"then_branch"), framed(6, &graph)].concat());
        graph = framed(1, &[framed(4, b"If"), inside].concat());
    }
    framed(if dice.one_in(8) { 25 } else { 7 }, &graph)
}

#[test]
fn models() {
    fuzz("models", |dice| {
        let mut model = trees(dice);
        if dice.one_in(2) {
            model = damage::bytes(&model, dice);
        }
        for field in fields(&model) {
            if let Field::Bytes(_, content) = field {
                let _ = (fields(content).count(), numbers(content).count());
            }
        }
        Trees::of(&model).map_err(Error::new).into()
    });
}
