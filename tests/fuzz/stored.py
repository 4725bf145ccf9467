"""Damage the files of stored models, and ask them on every engine.

``python -m tests.fuzz.stored --count 2000 --seed 1`` prints the table of README.md.

A model may answer, or be refused in words that name it; it may not take the process down, raise what is no error of
sqlinfer or DuckDB, or give two engines two answers.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.parser
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, pre_tokenizers

import sqlinfer
from sqlinfer.models.registry import Registry
from sqlinfer.registration.sandbox import Limits, Worker
from tests.conftest import ENGINES
from tests.fuzz.asking import Answer, ask
from tests.fuzz.documents import mutated

# The worst first.
_VERDICTS = ("WRONG", "one engine", "refused", "answers")
_LIMITS = Limits.of(600, "2GB")
_QUESTIONS = {
    "flower": ["5.1, 3.5, 1.4, 0.2", "NULL, 3.5, 1.4, 0.2"],
    "text": ["'the quick fox'", "''", "NULL"],
    "photo": ["from_hex('89504e470d0a1a0a')", "NULL"],
    "list": ["[1.5, 2.5, 3.5]", "[1.5]", "NULL"],
}
_TEXT = """<ir_version: 8, opset_import: ["": 17]> text (int64[N, L] input_ids) => (float[N] y) {
    f = Cast<to = 1>(input_ids)
    y = ReduceMean<axes = [1], keepdims = 0>(f)
}"""
_PHOTO = """<ir_version: 8, opset_import: ["": 17]> photo (float[N, 3, 4, 4] x) => (float[N] y) {
    y = ReduceMean<axes = [1, 2, 3], keepdims = 0>(x)
}"""
_LIST = """<ir_version: 8, opset_import: ["": 17]> list (float[N, 3] x) => (float[N, 3] y) { y = Softmax(x) }"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``verdict``: 'answers', 'refused', 'one engine' (the other refuses) or 'WRONG'."""

    model: str
    file: str
    mutation: str
    verdict: str
    answers: dict[str, list[Answer]]


def stored_models(folder: Path) -> Registry:
    """One sound model of each kind."""
    registry = Registry(folder / "registry")
    X, y = load_iris(return_X_y=True, as_frame=True)
    sqlinfer.register("flower", LogisticRegression(max_iter=500).fit(X, y), sample=X, registry=registry)
    words = Tokenizer(models.WordLevel({"the": 1, "quick": 2, "fox": 3, "[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    for name, graph in (("text", _TEXT), ("photo", _PHOTO), ("list", _LIST)):
        onnx.save(onnx.parser.parse_model(graph), folder / f"{name}.onnx")
    sqlinfer.register("text", folder / "text.onnx", tokenizer=folder / "tokenizer.json", registry=registry)
    sqlinfer.register("photo", folder / "photo.onnx", image=True, registry=registry)
    sqlinfer.register("list", folder / "list.onnx", registry=registry)
    return registry


def fuzz(registry: Registry, count: int, seed: int) -> Iterator[Outcome]:
    source, worker = random.Random(seed), Worker()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            home = Path(folder) / str(i)  # a path of its own: a model that is loaded stays loaded
            name = source.choice(list(_QUESTIONS))
            shutil.copytree(registry.home, home)
            place = home / "models" / name / "1"
            file = source.choices(["model.json", "tokenizer.json", "model.onnx", "../aliases.json"], [12, 2, 1, 1])[0]
            path = place / (file if (place / file).exists() else "model.json")
            mutation, content = mutated(path.read_bytes(), source)
            path.write_bytes(content)
            yield _outcome(worker, home, name, path.name, mutation)
            shutil.rmtree(home)
    worker.close()


def _outcome(worker: Worker, home: Path, name: str, file: str, mutation: str) -> Outcome:
    answers = {}
    for engine in ENGINES:
        try:
            answers[engine] = worker.call(ask, home, name, _QUESTIONS[name], engine, about=name, limits=_LIMITS)
        except Exception as error:  # whatever else is raised is what is looked for
            text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
            answers[engine] = [Answer("WRONG", text)] * len(_QUESTIONS[name])
    verdicts = {_verdict(pair) for pair in zip(*answers.values(), strict=True)}
    verdict = next(verdict for verdict in _VERDICTS if verdict in verdicts)
    return Outcome(name, file, mutation, verdict, answers)


def _verdict(answers: Sequence[Answer]) -> str:
    """Of one question, by all engines."""
    kinds = {answer.kind for answer in answers}
    if "WRONG" in kinds or (kinds == {"answers"} and len({answer.text for answer in answers}) > 1):
        return "WRONG"
    return kinds.pop() if len(kinds) == 1 else "one engine"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for outcome in fuzz(stored_models(Path(folder)), asked.count, asked.seed):
            found[f"{outcome.file}: {outcome.mutation}", outcome.verdict] += 1
            if outcome.verdict in ("WRONG", "one engine"):
                print(
                    json.dumps(
                        [
                            outcome.verdict,
                            outcome.model,
                            outcome.file,
                            outcome.mutation,
                            {engine: [[a.kind, a.text] for a in given] for engine, given in outcome.answers.items()},
                        ]
                    ),
                    file=sys.stderr,
                    flush=True,
                )
    print(f"| file: mutation | {' | '.join(_VERDICTS)} |\n|---|{'---:|' * len(_VERDICTS)}")
    for what in sorted({what for what, _ in found}):
        print(f"| {what} | {' | '.join(str(found[what, verdict]) for verdict in _VERDICTS)} |")
    raise SystemExit(any(verdict == "WRONG" for _, verdict in found))


if __name__ == "__main__":
    main()
