"""Damaged files as both readers take them, Python's and the extension's: what a worker does for the fuzzer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import onnx
import onnx.parser
import pyarrow as pa
from PIL import Image

import sqlinfer
from sqlinfer.errors import SqlinferError
from tests.conftest import ENGINES
from tests.fuzz import documents, mutations
from tests.manifests.readers import SOUND, accepted

__all__ = ["KINDS", "Outcome", "tried"]

# Files of a round, by kind.
KINDS = {"manifests": 900, "tokenizers": 40, "words": 40, "images": 100, "steps": 20}
_TEXTS = ["the quick fox", "", "a", "É ΣΑΣ, é\u0301!", "\ufffe\ufdd1", "aab-ab_9", " \t\n ", "word " * 50]
_GRAPHS = {
    "VARCHAR": '<ir_version: 8, opset_import: ["": 17]> g (string[N, 1] x) => (string[N, 1] y) { y = Identity(x) }',
    "BIGINT[]": '<ir_version: 8, opset_import: ["": 17]> g (int64[N, L] x) => (int64[N, L] y) { y = Identity(x) }',
    "UTINYINT[][][]": """<ir_version: 8, opset_import: ["": 17]> g (uint8[N, H, W, C] x) => (uint8[N, H, W, C] y) {
        y = Identity(x)
    }""",
}
_DTYPES = {"VARCHAR": "string", "BIGINT[]": "int64", "UTINYINT[][][]": "uint8"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """``verdict``: 'answers' or 'refused', by both alike, else 'WRONG'."""

    kind: str
    verdict: str
    text: str = ""


def tried(kind: str, count: int, seed: str) -> list[Outcome]:
    """What becomes of so many damaged files; the same for the same seed."""
    source = random.Random(seed)
    texts = {"manifests": _manifests, "tokenizers": _tokenizers, "words": _words, "images": _images, "steps": _steps}
    with warnings.catch_warnings(), _silenced():
        warnings.simplefilter("ignore")
        outcomes = texts[kind](count, source)
    return [
        Outcome(kind, verdict, f"{seed}: {text}"[:2000] if verdict == "WRONG" else "") for verdict, text in outcomes
    ]


@contextmanager
def _silenced() -> Iterator[None]:
    """The tokenizers of Python print their panics themselves."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _manifests(count: int, source: random.Random) -> list[tuple[str, str]]:
    sound = [text.encode() for text in SOUND.values()]
    damaged = [documents.mutated(source.choice(sound), source)[1] for _ in range(count)]
    taken = accepted(damaged)
    pairs = zip(taken["python"], taken["extension"], damaged, strict=True)
    return [_verdict(("taken", one), ("taken", other), one, content) for one, other, content in pairs]


def _tokenizers(count: int, source: random.Random) -> list[tuple[str, str]]:
    damaged = [_document(source.choice(_TOKENIZERS), source) for _ in range(count)]
    prepare = {"tokenizer": "beside.json", "max_length": 500, "mask": None, "types": None, "pad": None}
    return _beside(damaged, "BIGINT[]", prepare)


def _words(count: int, source: random.Random) -> list[tuple[str, str]]:
    return _beside(
        [_document(source.choice(_TABLES), source) for _ in range(count)], "VARCHAR", {"words": "beside.json"}
    )


def _document(sound: Any, source: random.Random) -> bytes:
    content = json.dumps(sound).encode()
    return content if source.random() < 0.1 else documents.mutated(content, source)[1]


def _beside(contents: list[bytes], sql_type: str, prepare: dict[str, Any]) -> list[tuple[str, str]]:
    """What texts become by each of these files."""
    with tempfile.TemporaryDirectory() as home:
        for version, content in enumerate(contents, 1):
            known = {**prepare, "sha256": hashlib.sha256(content).hexdigest()}
            folder = _stored(Path(home), version, sql_type, "VARCHAR", known)
            (folder / "beside.json").write_bytes(content)
        return _asked(Path(home), pa.table({"x": _TEXTS}), contents)


def _images(count: int, source: random.Random) -> list[tuple[str, str]]:
    sound = [_picture(source) for _ in range(5)]
    contents = [mutations.damaged(source.choice(sound), source) for _ in range(count)]
    with tempfile.TemporaryDirectory() as home:
        steps = [_step(source) for _ in range(source.randrange(3))]
        _stored(Path(home), 1, "UTINYINT[][][]", "BLOB", {"image": "RGB", "pixels": 1 << 20, "steps": steps})
        answers = [
            _answers(Path(home), pa.table({"x": contents}), engine, ["SELECT TRY(predict('m/1', x)) FROM given"])[0]
            for engine in ENGINES
        ]
    if any(kind != "answers" for kind, _ in answers):
        return [_verdict(answers[0], answers[1], False, b"all")] * count
    pairs = zip(contents, *(rows for _, rows in answers), strict=True)
    return [_verdict(("", one), ("", other), one is not None, content) for content, one, other in pairs]


def _steps(count: int, source: random.Random) -> list[tuple[str, str]]:
    """Sound images, and damaged words of what is done with them."""
    prepares = []
    for version in range(count):
        prepare: Any = {"image": source.choice(["RGB", "L"]), "pixels": 1 << 20}
        prepare["steps"] = [_step(source) for _ in range(source.randrange(4))]
        if version % 2:
            documents.change(prepare, source)
        prepares.append(prepare)
    with tempfile.TemporaryDirectory() as home:
        for version, prepare in enumerate(prepares, 1):
            _stored(Path(home), version, "UTINYINT[][][]", "BLOB", prepare)
        pictures = pa.table({"x": [_picture(source) for _ in range(6)]})
        return _asked(Path(home), pictures, [json.dumps(prepare).encode() for prepare in prepares])


def _stored(home: Path, version: int, answer: str, given: str, prepare: Any) -> Path:
    """A model that answers what it is given."""
    folder = home / "models/m" / str(version)
    folder.mkdir(parents=True)
    graph = onnx.parser.parse_model(_GRAPHS[answer]).SerializeToString()
    (folder / "model.onnx").write_bytes(graph)
    levels = answer.count("[]")
    shape: list[int | None] = [None, 1] if answer == "VARCHAR" else [None] * (levels + 1)
    if answer.startswith("UTINYINT"):
        shape[-1] = 1 if isinstance(prepare, dict) and prepare.get("image") == "L" else 3
        answer = f"UTINYINT[{shape[-1]}][][]"
    column = 0 if answer == "VARCHAR" else None
    dtype = _DTYPES[answer if levels < 3 else "UTINYINT[][][]"]
    fields = {
        "format": 1, "name": "m", "version": version, "created": "2026-01-01T00:00:00Z",
        "sha256": hashlib.sha256(graph).hexdigest(),
        "source": {"framework": "", "model": "", "converter": None, "sqlinfer": ""}, "task": "other",
        "features": [
            {"name": "x", "type": given, "null": "null", "tensor": "x", "column": column, "prepare": prepare},
        ],
        "inputs": [{"name": "x", "dtype": dtype, "shape": shape}],
        "outputs": [{"name": "y", "dtype": dtype, "shape": shape, "type": answer}],
        "labels": None, "calls": {"predict": {"type": answer, "decode": "tensor", "outputs": ["y"]}},
        "batch": {"fixed": None, "most": None}, "kernel": "onnx",
        "proof": {"rows": [], "answers": {}, "tolerance": 0},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(fields))
    return folder


def _asked(home: Path, given: pa.Table, contents: list[bytes]) -> list[tuple[str, str]]:
    """What every version makes of the rows, by each engine."""
    queries = [f"SELECT TRY(predict('m/{version}', x)) FROM given" for version in range(1, len(contents) + 1)]
    one, other = (_answers(home, given, engine, queries) for engine in ENGINES)
    triples = zip(one, other, contents, strict=True)
    return [_verdict(mine, theirs, any(mine[1]), content) for mine, theirs, content in triples]


def _answers(home: Path, given: pa.Table, engine: str, queries: list[str]) -> list[tuple[str, Any]]:
    with sqlinfer.connect(registry=home, engine=engine) as con:
        con.register("given", given)
        return [_answer(con, query) for query in queries]


def _answer(con: sqlinfer.Connection, query: str) -> tuple[str, Any]:
    try:
        return "answers", [value for (value,) in con.execute(query).fetchall()]
    except (SqlinferError, duckdb.Error) as error:
        return "refused", "internal" if "please report" in str(error) else ""


def _verdict(one: Any, other: Any, taken: bool, content: bytes) -> tuple[str, str]:
    if one != other:
        return "WRONG", f"{str(one)[:300]} and {str(other)[:300]} of {content[:1200]!r}"
    return ("answers" if taken else "refused"), ""


def _picture(source: random.Random) -> bytes:
    size = source.randrange(1, 40), source.randrange(1, 40)
    mode = source.choice(["RGB", "L", "RGBA", "P", "I;16", "CMYK"])
    pixels = np.frombuffer(source.randbytes(size[0] * size[1] * 3), np.uint8).reshape(size[1], size[0], 3)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    content = io.BytesIO()
    if mode in ("RGB", "L", "CMYK") and (mode == "CMYK" or source.random() < 0.5):
        image.save(content, "JPEG", progressive=source.random() < 0.5, quality=source.randrange(5, 96))
    else:
        image.save(content, "PNG")
    return content.getvalue()


def _step(source: random.Random) -> dict[str, Any]:
    what = source.choice(["resize", "shorter", "crop", "share"])
    sides = [source.randrange(1, 50) for _ in range(1 if what == "shorter" else 2)]
    filters = ["nearest", "lanczos", "linear", "cubic", "box", "hamming", "cubic across", "linear across"]
    how = source.choice(["floor", "zero", "even"] if what in ("crop", "share") else filters)
    return {"do": what, "size": [side / 32 for side in sides] if what == "share" else sides, "how": how}


_VOCABULARY = {"[UNK]": 0, "[CLS]": 1, "the": 2, "quick": 3, "fox": 4, "a": 5, "##a": 6, "b": 7, "##b": 8, "word": 9}
_WHOLE: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "decoder": None}
_TOKENIZERS: list[dict[str, Any]] = [
    {
        **_WHOLE, "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None,
        "model": {"type": "WordLevel", "vocab": _VOCABULARY, "unk_token": "[UNK]"},
    },
    {
        **_WHOLE, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True,
        },
        "post_processor": {
            "type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}},
        },
        "model": {
            "type": "WordPiece", "vocab": _VOCABULARY, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
    },
    {
        **_WHOLE, "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": "\\w+|[^\\w\\s]+"}, "behavior": "Isolated", "invert": False,
        },
        "post_processor": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "[UNK]", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {"[UNK]": 0, "a": 1, "b": 2, "ab": 3, "aab": 4}, "merges": [["a", "b"], ["a", "ab"]],
        },
    },
]  # fmt: skip
_LETTERS = [[48, 57], [65, 90], [95, 95], [97, 122], [233, 233], [769, 769], [913, 1000]]
_SECTION: dict[str, Any] = {
    "chars": {"65": "a", "201": "e\u0301", "931": "σ"},
    "sigma": {"cased": [[65, 90], [97, 122], [913, 1000]], "ignorable": [[39, 39], [769, 769]]},
    "words": {
        "pattern": [[_LETTERS, 1, 1], [_LETTERS, 1, None]], "starts": True, "ends": True, "letters": _LETTERS,
        "stop": ["the"],
    },
    "inside": False, "space": [[9, 13], [32, 32]],
}  # fmt: skip
_TABLES: list[dict[str, Any]] = [
    {"sections": [_SECTION]},
    {"sections": [{**_SECTION, "words": None, "inside": True}, None, {**_SECTION, "words": None}]},
]
