//! Files beside a model, and the images of a batch: tokenizers, tables of words, PNG and JPEG.

use std::fs;
use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use mozjpeg::{ColorSpace, Compress};
use serde_json::{Value, json};

use super::readers::scored;
use super::{Dice, Folder, damage, fuzz};
use crate::core::error::Result;
use crate::core::files::digest;
use crate::core::manifest::tests::sample;
use crate::core::manifest::validate;
use crate::core::preprocess::{decode, dimensions};

/// A model of one feature that is prepared in this way.
fn model(sql_type: &str, column: Value, prepare: Value, inputs: Value) -> Value {
    let mut fields = sample();
    fields["labels"] = Value::Null;
    fields["features"] = json!([
        {"name": "x", "type": sql_type, "null": "null", "tensor": "X", "column": column, "prepare": prepare}
    ]);
    fields["inputs"] = inputs;
    fields["outputs"] = json!([{"name": "y", "dtype": "float32", "shape": [null], "type": "FLOAT"}]);
    fields["calls"] = json!({"predict": {"type": "FLOAT", "decode": "tensor", "outputs": ["y"]}});
    fields
}

fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> =
        ["the quick fox", "", "a", "é\u{301} ΣΑΣ", "\u{fffe}\u{fdd1}", "aaaaaaaaaaaaaaaaaaaaaaaaaab", " \t\n "]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
    texts.push(b"\xff\xfe broken \xc3".to_vec());
    texts.push("word ".repeat(300).into_bytes());
    texts
}

/// The damaged document in its file, and what its model makes of texts.
fn read_beside(folder: &Folder, file: &str, sound: &[Value], manifest: &Value, dice: &mut Dice) -> Result<()> {
    let mut document = dice.of(sound).clone();
    if !dice.one_in(6) {
        damage::document(&mut document, dice);
    }
    let mut content = document.to_string().into_bytes();
    if dice.one_in(8) {
        content = damage::bytes(&content, dice);
    }
    let mut fields = manifest.clone();
    fields["features"][0]["prepare"]["sha256"] = json!(digest(&content));
    fs::write(folder.0.join(file), content).unwrap();
    let manifest = validate::of(fields.to_string().as_bytes(), &folder.0.join("model.json"))?;
    scored(manifest, &texts(), dice)
}

#[test]
fn tokenizers() {
    let vocabulary =
        json!({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "the": 3, "quick": 4, "fox": 5, "a": 6, "##a": 7, "b": 8, "##b": 9});
    let whole = |model: Value, normalizer: Value, pre_tokenizer: Value, post_processor: Value| {
        json!({
            "version": "1.0", "truncation": null, "padding": null, "decoder": null,
            "added_tokens": [{
                "id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": true
            }],
            "model": model, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
        })
    };
    let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}},
    });
    let split =
        json!({"type": "Split", "pattern": {"Regex": "\\w+|[^\\w\\s]+"}, "behavior": "Isolated", "invert": false});
    let sound = [
        whole(
            json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}),
            Value::Null,
            json!({"type": "Whitespace"}),
            Value::Null,
        ),
        whole(
            json!({
                "type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100
            }),
            bert,
            json!({"type": "BertPreTokenizer"}),
            template,
        ),
        whole(
            json!({
                "type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": {"[UNK]": 0, "a": 1, "b": 2, "ab": 3, "aab": 4, "aa": 5}, "merges": [["a", "b"], ["a", "ab"], ["a", "a"]]
            }),
            json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"String": "b"}, "content": "a"}]}),
            split,
            Value::Null,
        ),
        whole(
            json!({
                "type": "Unigram", "unk_id": 0, "byte_fallback": false,
                "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2.0], ["ab", -1.0], ["the", -3.0], ["\u{2581}", -0.5]]
            }),
            json!({"type": "Lowercase"}),
            json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}),
            Value::Null,
        ),
    ];
    let prepare =
        json!({"tokenizer": "tokenizer.json", "max_length": 200, "mask": "M", "types": "T", "pad": 0, "sha256": ""});
    let ids = |name: &str, dtype: &str| json!({"name": name, "dtype": dtype, "shape": [null, null]});
    let manifest =
        model("VARCHAR", Value::Null, prepare, json!([ids("X", "int64"), ids("M", "int64"), ids("T", "int32")]));
    let folder = Folder::new("tokenizers");
    fuzz("tokenizers", |dice| read_beside(&folder, "tokenizer.json", &sound, &manifest, dice).into());
}

#[test]
fn words() {
    let letters = json!([[48, 57], [65, 90], [95, 95], [97, 122], [233, 233], [769, 769], [913, 1000]]);
    let section = |words: Value, inside: bool| {
        json!({
            "chars": {"65": "a", "201": "e\u{301}", "931": "σ"},
            "sigma": {"cased": [[65, 90], [97, 122], [913, 1000]], "ignorable": [[39, 39], [769, 769]]},
            "words": words, "inside": inside, "space": [[9, 13], [32, 32]],
        })
    };
    let pattern = json!({
        "pattern": [[letters, 1, 1], [letters, 1, null]], "starts": true, "ends": true, "letters": letters, "stop": ["the"],
    });
    let sound = [
        json!({"sections": [section(pattern.clone(), false)]}),
        json!({"sections": [section(Value::Null, true), null, section(Value::Null, false)]}),
        json!({"sections": [section(pattern, false), section(Value::Null, true)]}),
    ];
    let prepare = json!({"words": "words.json", "sha256": ""});
    let manifest = model("VARCHAR", json!(0), prepare, json!([{"name": "X", "dtype": "string", "shape": [null, 1]}]));
    let folder = Folder::new("words");
    fuzz("words", |dice| read_beside(&folder, "words.json", &sound, &manifest, dice).into());
}

fn images() -> Vec<Vec<u8>> {
    let picture = |width: u32, height: u32| {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 37) as u8, (y * 91) as u8, (x * y) as u8]))
    };
    let png = |image: DynamicImage| {
        let mut content = Cursor::new(Vec::new());
        image.write_to(&mut content, ImageFormat::Png).unwrap();
        content.into_inner()
    };
    let jpeg = |progressive: bool| {
        let mut compress = Compress::new(ColorSpace::JCS_RGB);
        compress.set_size(19, 13);
        if progressive {
            compress.set_progressive_mode();
        }
        let mut started = compress.start_compress(Vec::new()).unwrap();
        started.write_scanlines(&picture(19, 13)).unwrap();
        started.finish().unwrap()
    };
    let colours = DynamicImage::from(picture(9, 14));
    vec![
        png(DynamicImage::from(picture(16, 16))),
        png(DynamicImage::from(colours.to_luma8())),
        png(DynamicImage::from(colours.to_rgba8())),
        png(DynamicImage::from(colours.to_luma16())),
        png(DynamicImage::from(colours.to_rgb16())),
        jpeg(false),
        jpeg(true),
    ]
}

#[test]
fn pictures() {
    let sound = images();
    let step = |what: &str, size: Value, how: &str| json!({"do": what, "size": size, "how": how});
    let steps = [
        step("resize", json!([8, 6]), "lanczos"),
        step("resize", json!([30, 5]), "cubic across"),
        step("shorter", json!([7]), "linear"),
        step("shorter", json!([11]), "hamming"),
        step("crop", json!([5, 40]), "even"),
        step("crop", json!([3, 3]), "floor"),
        step("share", json!([0.5, 0.875]), "zero"),
        step("resize", json!([1, 64]), "nearest"),
        step("resize", json!([2, 2]), "box"),
    ];
    fuzz("pictures", |dice| {
        let mode = *dice.of(&["RGB", "L"]);
        let chosen: Vec<Value> = (0..dice.below(4)).map(|_| dice.of(&steps).clone()).collect();
        let mut prepare = json!({"image": mode, "pixels": 1 << 20, "steps": chosen});
        if dice.one_in(3) {
            damage::document(&mut prepare, dice);
        }
        let channels = if mode == "L" { 1 } else { 3 };
        let inputs = json!([{"name": "X", "dtype": "uint8", "shape": [null, null, null, channels]}]);
        let fields = model("BLOB", Value::Null, prepare, inputs);
        let damaged = !dice.one_in(3);
        let content = |dice: &mut Dice| {
            let content = dice.of(&sound).clone();
            if damaged { damage::bytes(&content, dice) } else { content }
        };
        let contents: Vec<Vec<u8>> = (0..3).map(|_| content(dice)).collect();
        for content in &contents {
            if let Ok(image) = decode(content, 1 << 20) {
                assert!(dimensions(content).is_some());
                assert_eq!(image.as_raw().len(), image.width() as usize * image.height() as usize * 3);
            }
        }
        let manifest = validate::of(fields.to_string().as_bytes(), "/nowhere/model.json".as_ref());
        manifest.and_then(|manifest| scored(manifest, &contents, dice)).into()
    });
}
