"""register, list, show, alias, verify, remove."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sqlinfer
from sqlinfer.cli.options import (
    chosen_format,
    existing_registry,
    format_option,
    limit_options,
    outcome_option,
    preparation_options,
    print_object,
    print_rows,
    reference_argument,
    registry_option,
)
from sqlinfer.cli.words import for_the_terminal
from sqlinfer.errors import BadReference, SqlinferError, named
from sqlinfer.models.reference import Reference

if TYPE_CHECKING:
    from sqlinfer import Registry
    from sqlinfer.models.manifest import Refusals
    from sqlinfer.models.signature import Batch, Feature, ImagePreparation, TextPreparation, WordsPreparation

__all__ = ["alias", "batch_text", "guards_text", "is_common", "list_", "register", "remove", "show", "verify"]

# What is said of the first features after registering is enough; show has all.
_MOST_GUARDED = 8
_COMMON = 0.01


@click.command()
@click.argument("name")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows, as CSV, JSON or Parquet, that name and type the features and prove the model.",
)
@click.option("--features", metavar="A,B,C", help="Names for the features, in order.")
@click.option(
    "--labels",
    metavar="A,B,C|FILE",
    help="Classes, in the order of the model's scores, or of a low and a high score; a file has one a line.",
)
@click.option(
    "--null",
    "nulls",
    multiple=True,
    metavar="[FEATURE=]POLICY",
    help="What a NULL does: null, nan, error or a value; for all features or for one.",
)
@click.option("--target", metavar="COLUMN", help="The column that the model predicts; of the sample it is no feature.")
@click.option(
    "--profile/--no-profile",
    default=True,
    show_default=True,
    help="Keep statistics of the sample, and up to 256 of its rows.",
)
@click.option(
    "--batch-axis",
    "axes",
    multiple=True,
    metavar="INPUT=AXIS",
    help="The axis of an input (or output) that counts the rows; none where all rows of a run share its value.",
)
@click.option(
    "--constant",
    "constants",
    multiple=True,
    metavar="INPUT=VALUE",
    help="The value of an input that never changes.",
)
@click.option("--row-by-row", is_flag=True, help="Each row is a run of its own, and all outputs are its answer.")
@click.option("--together", is_flag=True, help="Score rows together though they then change each other's answers.")
@preparation_options
@click.option(
    "--trials",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="N",
    help="How many made-up rows an estimator and SQL are asked for; 0 is none.",
)
@click.option("--promote", is_flag=True, help="Let the bare name mean this version.")
@click.option("--trust", is_flag=True, help="Load a pickled estimator, which runs the code in it.")
@limit_options
@outcome_option
@registry_option
def register(
    name: str,
    model: Path,
    sample: Path | None,
    features: str | None,
    labels: str | None,
    nulls: tuple[str, ...],
    target: str | None,
    profile: bool,
    axes: tuple[str, ...],
    constants: tuple[str, ...],
    row_by_row: bool,
    together: bool,
    trials: int,
    promote: bool,
    trust: bool,
    format_: str,
    registry: str | None,
    **options: Any,
) -> None:
    """Store MODEL as a new version of NAME: an .onnx file, a file that XGBoost, LightGBM or CatBoost saved, a folder as
    Hugging Face lays it out, or, with --trust, a pickled estimator."""
    store = sqlinfer.Registry(registry)
    if trust:
        sys.path.append(str(Path.cwd()))  # where a script has its own classes from
    stored = sqlinfer.register(
        name,
        model,
        sample=sample,
        features=_split(features),
        labels=labels if labels and Path(labels).is_file() else _split(labels),
        null=_null_policies(nulls),
        target=target,
        profile=profile,
        batch_axis={name: _axis(value) for name, value in _pairs(axes, "--batch-axis")},
        constants={name: _json_or_text(value) for name, value in _pairs(constants, "--constant")},
        row_by_row=row_by_row,
        together=together,
        trials=trials,
        promote=promote,
        trust=trust,
        registry=store,
        **{name: value for name, value in options.items() if value is not None},
    )
    signature = stored.manifest.signature
    if format_ == "json":
        fields = {
            "name": stored.name,
            "version": stored.version,
            "aliases": stored.aliases,
            "registry": str(store.home),
            "features": [{"name": f.name, "type": f.type, "null": str(f.null)} for f in signature.features],
            "calls": {call: how.type for call, how in signature.calls.items()},
            "target": stored.target,
        }
        print_object(fields)
        return
    click.echo(f"registered {stored.name}/{stored.version} in {store.home}", err=True)
    shown = ", ".join(signature.feature_names[:6]) + (", …" if len(signature.features) > 6 else "")
    click.echo(f"  SELECT predict('{stored.name}', {shown}) → {signature.calls['predict'].type}", err=True)
    for feature in signature.features[:_MOST_GUARDED]:
        if feature.guards:
            click.echo(f"  refused as {feature.name}: {guards_text(feature)}", err=True)
    for refusals in stored.manifest.refusals:
        if is_common(refusals):
            click.echo(f"  refused: {refusals}", err=True)
    if stored.manifest.proof.untried:
        click.echo(f"  tried on nothing but the sample: {stored.manifest.proof.untried}", err=True)
    if not stored.aliases:
        click.echo(
            f"  {name} still means another version; promote it with: sqlinfer alias {name} default {stored.version}",
            err=True,
        )


@click.command("list")
@format_option()
@registry_option
def list_(format_: str | None, registry: str | None) -> None:
    """List the models."""
    from sqlinfer.engines.catalogue import MODELS, row

    store = existing_registry(registry)
    rows = [row(store, model) for model in store.all()]
    columns = [name for name in MODELS if name not in ("features", "classes", "sha256")]
    damaged = _name_damaged(store)
    if not (rows or damaged) and chosen_format(format_) == "table":
        click.echo(f"no models in {store.home}; add one with: sqlinfer register NAME FILE", err=True)
        return
    print_rows(columns, [[r[c] for c in columns] for r in rows], chosen_format(format_))


@click.command()
@reference_argument()
@format_option(("table", "json", "markdown"))
@registry_option
def show(reference: str, format_: str | None, registry: str | None) -> None:
    """Show what a model takes, gives, and where it came from."""
    from sqlinfer.engines.catalogue import row

    store = existing_registry(registry)
    stored = store.get(reference)
    manifest, signature = stored.manifest, stored.manifest.signature
    profile = stored.profile
    if chosen_format(format_) == "json":
        fields = json.loads(manifest.to_json())
        print_object({**fields, "profile": json.loads(profile.to_json()) if profile else None})
        return
    listed = row(store, stored)
    facts: list[tuple[str, Any]] = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("aliases", ", ".join(listed["aliases"])),
        ("task", manifest.task),
        *([("target", manifest.target)] if manifest.target else []),
        ("made by", f"{manifest.source.framework}: {manifest.source.model}"),
        ("converted by", manifest.source.converter or "nothing: registered as it came"),
        ("created", manifest.created),
        ("file", stored.onnx),
        ("batches", batch_text(signature.batch)),
        *((f.name, _preparation_text(f.prepare)) for f in signature.features if f.prepare is not None),
        *((f"{call}()", how.type) for call, how in signature.calls.items()),
        *([("classes", named(listed["classes"]))] if signature.labels else []),
        *(("refused", str(refusals)) for refusals in manifest.refusals if is_common(refusals)),
        *([("trials", f"none: {manifest.proof.untried}")] if manifest.proof.untried else []),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name.ljust(width)}  {value}")
    click.echo()
    as_rows = "markdown" if format_ == "markdown" else "table"
    features = [(f.name, f.type, str(f.null)) for f in signature.features]
    print_rows(("feature", "type", "NULL"), features, as_rows)
    guards = [(f.name, str(guard), guard.says) for f in signature.features for guard in f.guards]
    if guards:
        click.echo()
        print_rows(("feature", "refused", "why"), guards, as_rows)
    if profile:
        click.echo(f"\nsample of {profile.rows:,} rows")
        for head, rows in profile.tables():
            click.echo()
            print_rows(head, rows, as_rows)


@click.command()
@reference_argument("name")
@click.argument("alias")
@click.argument("version", type=int, required=False)
@click.option("--drop", is_flag=True, help="Remove the alias.")
@outcome_option
@registry_option
def alias(name: str, alias: str, version: int | None, drop: bool, format_: str, registry: str | None) -> None:
    """Let NAME@ALIAS mean VERSION. The alias 'default' is what the bare NAME means: 'alias NAME default VERSION'
    promotes a version, and rolls back to an earlier one."""
    store = existing_registry(registry)
    if drop:
        store.drop_alias(name, alias)
        said = f"{name}@{alias} is gone"
    elif version is None:
        raise click.UsageError("give the VERSION that the alias is to mean, or --drop")
    else:
        store.alias(name, alias, version)
        said = f"{name}{'' if alias == 'default' else '@' + alias} now means {name}/{version}"
    if format_ == "json":
        print_object({"name": name.lower(), "alias": alias.lower(), "version": None if drop else version})
    else:
        click.echo(said, err=True)


@click.command()
@reference_argument(required=False)
@click.option("--engine", default="auto", show_default=True, help="The engine to prove: auto, native or arrow.")
@outcome_option
@registry_option
def verify(reference: str | None, engine: str, format_: str, registry: str | None) -> None:
    """Score the proof rows of a model (or of all models) again and compare with the original's answers."""
    store = existing_registry(registry)
    references = [reference] if reference else [f"{m.manifest.name}/{m.manifest.version}" for m in store.all()]
    failed = 0 if reference else _name_damaged(store)
    outcomes = []
    for one in references:
        try:
            found, problem = sqlinfer.verify(one, registry=store, engine=engine), None
        except SqlinferError as error:
            failed += 1
            found, problem = None, for_the_terminal(str(error))
            click.echo(f"{one}: {problem}", err=True)
        if found is not None and format_ == "text":
            click.echo(f"{one}: {found.text}")
        outcomes.append({"model": one, "same": found is not None, "text": found.text if found else problem})
    if format_ == "json":
        click.echo(json.dumps(outcomes, ensure_ascii=False))
    if failed:
        raise SystemExit(1)


@click.command()
@reference_argument()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@outcome_option
@registry_option
def remove(reference: str, yes: bool, format_: str, registry: str | None) -> None:
    """Remove a version (churn/1), or a model with all its versions (churn)."""
    store = existing_registry(registry)
    asked = Reference.parse(reference)
    if "@" in reference:
        raise BadReference(f"{reference!r} is an alias: remove the version it means, or drop it with 'alias --drop'")
    if asked.version is None:
        versions = store.versions(asked.name)
        if len(versions) > 1 and not yes:
            click.confirm(f"remove {asked.name} with its {len(versions)} versions?", abort=True, err=True)
    store.remove(asked)
    if format_ == "json":
        print_object({"name": asked.name, "version": asked.version, "removed": True})
    else:
        click.echo(f"removed {asked}", err=True)


def _name_damaged(store: Registry) -> int:
    """Say what cannot be read of the registry; how many things that are."""
    damaged = store.damaged()
    for name, error in damaged.items():
        click.echo(f"{name}: {error}", err=True)
    return len(damaged)


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",")] if text else None


def _null_policies(given: tuple[str, ...]) -> Any:
    """``nan`` for all features, or ``age=nan`` for one."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    if any("=" not in one for one in given):
        raise click.UsageError("--null: give one policy for all features, or FEATURE=POLICY for each")
    return dict(one.split("=", 1) for one in given)


def _pairs(given: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    """``sr=16000`` → ("sr", "16000"). The names of inputs may hold anything, so the last = counts."""
    if any("=" not in one for one in given):
        raise click.UsageError(f"{option}: write INPUT=VALUE")
    pairs = [one.rsplit("=", 1) for one in given]
    return [(name, value) for name, value in pairs]


def _axis(text: str) -> int | None:
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise click.UsageError(f"--batch-axis: {text!r} is no axis; give its number, counted from 0, or none")
    return int(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _preparation_text(prepare: TextPreparation | ImagePreparation | WordsPreparation) -> str:
    from sqlinfer.models.signature import ImagePreparation, WordsPreparation

    if isinstance(prepare, WordsPreparation):
        return f"cut into words or characters, as {prepare.file} says"
    if isinstance(prepare, ImagePreparation):
        return f"a PNG or JPEG file of at most {prepare.pixels} pixels; the graph does the rest"
    padding = "padded beside longer ones" if prepare.pad is not None else "never padded beside longer ones"
    return f"tokens of {prepare.tokenizer}, at most {prepare.max_length}; {padding}"


def guards_text(feature: Feature) -> str:
    """What a feature refuses, in a line."""
    return ", ".join(str(guard) for guard in feature.guards)


def is_common(refusals: Refusals) -> bool:
    """Whether a table may be expected to have such rows: what is made up is odd to begin with."""
    return refusals.of == "sample" or refusals.share >= _COMMON


def batch_text(batch: Batch) -> str:
    """How many rows may be put together, and why not more."""
    if batch.neighbours and batch.most:
        return (
            f"{batch.most} row at a time: beside other rows an answer changes by up to {batch.neighbours:.2g} of its "
            f"size. That takes {batch.cost:.1f} times as long; --together trades it away"
        )
    if batch.neighbours:
        return f"together, as asked: the rows beside it change an answer by up to {batch.neighbours:.2g} of its size"
    if batch.fixed:
        return f"exactly {batch.fixed} row(s) at a time, as the graph demands"
    return f"at most {batch.most} row(s) at a time" if batch.most else "any number of rows"
