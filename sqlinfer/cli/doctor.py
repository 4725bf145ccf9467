"""sqlinfer doctor: what is installed, which engine runs, and what a model file would take and give."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sqlinfer
from sqlinfer.cli.models import batch_text, guards_text, is_common, register
from sqlinfer.cli.options import chosen_format, existing_registry, format_option, limit_options, registry_option
from sqlinfer.cli.words import for_the_terminal
from sqlinfer.errors import EngineError, SqlinferError, named
from sqlinfer.models.reference import RESERVED

if TYPE_CHECKING:
    from sqlinfer.graphs.hints import Question
    from sqlinfer.graphs.summary import Facts
    from sqlinfer.models.manifest import Manifest, Refusals
    from sqlinfer.models.signature import Feature, Signature
    from sqlinfer.trials.operators import Lack

__all__ = ["doctor"]

_NEEDED = ("duckdb", "onnxruntime", "pyarrow", "sqlglot", "click", "onnx")
_OPTIONAL = {
    "skl2onnx": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "torch",
    "skops": "skops",
    "pyyaml": "mlflow",
    "tokenizers": "text",
    "pillow": "image",
    "onnxruntime-extensions": "operators",
    "duckdb-cli": "shell",
    "ipython": "notebook",
    "matplotlib": "plot",
    "starlette": "serve",
    "pyspark": "spark",
}


# How a file is registered, by what is open of it when it is refused as it is; the first that is accepted is prescribed.
_WAYS: dict[str | None, dict[str, Any]] = {None: {}, "rows": {"row_by_row": True}}


@dataclass(frozen=True, slots=True)
class _Report:
    """``problem``: why registration refuses the file; then there is no ``signature`` and no ``command``."""

    facts: Facts
    signature: Signature | None
    refusals: tuple[Refusals, ...]
    problem: str | None
    lacks: list[Lack]
    questions: list[Question]
    command: str | None


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@format_option(("table", "json"))
@limit_options
@registry_option
def doctor(model: Path | None, format_: str | None, registry: str | None, **limits: Any) -> None:
    """Say what is installed and which engine runs; or, given an .onnx file, what predict() would take and give, what
    the file leaves open, and how to register it."""
    as_json = chosen_format(format_) == "json"
    if model is None:
        lines = _installation(registry)
        _print_json(dict(lines)) if as_json else _print_lines(lines)
        return
    report = _examine(model, limits)
    _print_json(_plain(report)) if as_json else _print_report(report)
    if report.problem:
        raise click.ClickException(report.problem)


def _examine(path: Path, limits: dict[str, Any]) -> _Report:
    from sqlinfer.graphs.hints import FLAGS, Question
    from sqlinfer.graphs.summary import read_facts
    from sqlinfer.registration.sandbox import Limits, worker
    from sqlinfer.registration.sources.other_formats import require_own
    from sqlinfer.trials.operators import lacking

    require_own(path)
    facts = worker.call(read_facts, path, about=str(path), limits=Limits.of(**limits))
    about, manifest, refusal = _trial(path, limits)
    signature = manifest.signature if manifest is not None else None
    asked = _questions(facts, signature)
    if manifest is None:
        return _Report(facts, None, (), refusal, lacking(facts.operators), asked, None)
    shown = f"./{path}" if str(path).startswith("-") else str(path)  # which would be an option
    words = ["sqlinfer", "register", _model_name(path), shown]
    if about is not None:
        asked = [Question(about, str(refusal), FLAGS[about]), *asked]
        words.append(FLAGS[about])
    return _Report(facts, signature, manifest.refusals, None, [], asked, shlex.join(words))


def _trial(path: Path, limits: dict[str, Any]) -> tuple[str | None, Manifest | None, str | None]:
    """Register the file in a registry that is thrown away: what that says is true.

    Returns which of the ways was accepted, what came of it, and why the file was refused before.
    """
    from sqlinfer.temporary import temporary_folder

    refusal = None
    with temporary_folder() as folder:
        for about, way in _WAYS.items():
            try:
                stored = sqlinfer.register(_model_name(path), path, registry=folder, **limits, **way)
            except SqlinferError as error:
                refusal = refusal or for_the_terminal(str(error))
                continue
            return about, stored.manifest, refusal
    return None, None, refusal


def _questions(facts: Facts, signature: Signature | None) -> list[Question]:
    """What is open; a flag that this version of register does not have is no answer."""
    from sqlinfer.graphs.hints import Question, questions

    offered = {option for parameter in register.params for option in parameter.opts}
    return [
        question if question.flag and question.flag.split()[0] in offered else Question(question.about, question.text)
        for question in questions(facts, signature)
    ]


def _model_name(path: Path) -> str:
    """A name that SQL takes, made of the file's; the folder's where the file is called what all are called."""
    stem = path.resolve().parent.name if path.stem.lower() in ("model", "default") else path.stem
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower()[:60]
    name = name if re.match("[a-z_]", name) else f"m_{name}".rstrip("_")
    return f"{name}_model" if name in RESERVED else name


def _print_report(report: _Report) -> None:
    facts, signature = report.facts, report.signature
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in facts.opsets.items())
    used = sorted(facts.operators, key=lambda operator: -operator.count)
    lines = [
        ("file", f"{facts.path} ({_size(facts.bytes)})"),
        ("made by", facts.producer),
        ("opsets", f"{opsets} (IR version {facts.ir_version})"),
        ("operators", named((f"{operator} {operator.count}" for operator in used), 8)),
        *([("functions", named(facts.functions, 8))] if facts.functions else []),
        *([("weights in", named(facts.external, 8))] if facts.external else []),
        *(("input", str(value)) for value in facts.inputs),
        *(("output", str(value)) for value in facts.outputs),
    ]
    if signature is not None:
        lines += [("takes", named((f"{f.name} {f.type}" for f in signature.features), 8))]
        lines += [(f"{call}()", how.type) for call, how in signature.calls.items()]
        lines += [(f"refused as {f.name}", guards_text(f)) for f in signature.features if f.guards]
        lines += [("refused", str(refusals)) for refusals in report.refusals if is_common(refusals)]
        lines += [("batches", batch_text(signature.batch))]
    lines += [("missing", f"{name}: put it into the folder of the model") for name in facts.missing]
    lines += [("lacking", f"{lack.operator}: {lack.fix}") for lack in report.lacks]
    lines += [("open", f"{q.text}: {q.flag}" if q.flag else q.text) for q in report.questions]
    lines += [("register", report.command)] if report.command else []
    _print_lines(lines)


def _print_lines(lines: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name.ljust(width)}  {text}")


def _print_json(fields: dict[str, Any]) -> None:
    click.echo(json.dumps(fields, ensure_ascii=False))


def _plain(report: _Report) -> dict[str, Any]:
    facts, signature = asdict(report.facts), report.signature
    facts["path"] = str(report.facts.path)
    for value in (*facts["inputs"], *facts["outputs"]):
        value["shape"] = None if value["shape"] is None else [axis or None for axis in value["shape"]]
    return {
        **facts,
        "operators": [{"operator": str(o), "opset": o.opset, "count": o.count} for o in report.facts.operators],
        "features": [_feature(f) for f in signature.features] if signature else [],
        "calls": {call: how.type for call, how in signature.calls.items()} if signature else {},
        "batch": asdict(signature.batch) if signature else None,
        "refusals": [asdict(refusals) for refusals in report.refusals],
        "problem": report.problem,
        "lacking": [{"operator": str(lack.operator), "fix": lack.fix} for lack in report.lacks],
        "questions": [asdict(question) for question in report.questions],
        "command": report.command,
    }


def _feature(feature: Feature) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": feature.name, "type": feature.type}
    return {**fields, "refused": [str(guard) for guard in feature.guards]} if feature.guards else fields


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _installation(registry: str | None) -> list[tuple[str, str]]:
    import platform

    store = existing_registry(registry)
    lines = [("python", f"{platform.python_version()} on {platform.machine()}"), ("sqlinfer", sqlinfer.__version__)]
    lines += [(name, _version(name) or "missing") for name in _NEEDED]
    lines += [
        (name, _version(name) or f"not installed: pip install 'sqlinfer[{extra}]'") for name, extra in _OPTIONAL.items()
    ]
    with sqlinfer.connect(registry=store) as con:
        lines.append(("engine", f"{con.engine}{_why(con.engine)}"))
    count = len(store.names())
    lines.append(("registry", f"{store.home} ({count} model{'' if count == 1 else 's'})"))
    return lines


def _why(engine: str) -> str:
    """Why it is not the fast one, and how to get that."""
    if engine == "native":
        from sqlinfer.engines.native import extension_path

        return f" ({extension_path()})"
    try:
        with sqlinfer.connect(engine="native"):
            return ""
    except EngineError as error:
        return f": {error}"


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
