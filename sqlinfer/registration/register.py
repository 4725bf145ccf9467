"""register(): convert, inspect, prove through SQL, store. Everything that a query needs to know is worked out here.

A model is stored only when SQL answers what the original answers on the sample rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

from sqlinfer.convert.pickled import load_pickle
from sqlinfer.convert.saved import is_saved
from sqlinfer.engines.files import rows_of
from sqlinfer.errors import BadReference, FeatureError, OptionError, named
from sqlinfer.graphs.axes import Layout
from sqlinfer.graphs.preprocess import Labels, Options
from sqlinfer.model import Model
from sqlinfer.models.compare import Difference
from sqlinfer.models.reference import RESERVED, check_name
from sqlinfer.models.registry import Registry, RegistryLike
from sqlinfer.models.sample import Sample
from sqlinfer.progress import step
from sqlinfer.registration.estimators import prove_estimator, prove_saved
from sqlinfer.registration.exported import is_exported, require_unsaid, take_back, verify_stored
from sqlinfer.registration.files import prove_file
from sqlinfer.registration.profile import files_of
from sqlinfer.registration.proof_rows import telling_sample
from sqlinfer.registration.proving import PROVEN_ROWS, RegistrationRequest
from sqlinfer.registration.sandbox import Limits, worker
from sqlinfer.registration.sources.mlflow import is_logged, read_logged
from sqlinfer.registration.sources.other_formats import PICKLES, is_pickle, require_own
from sqlinfer.temporary import temporary_folder
from sqlinfer.trials.guards import TRIALS

__all__ = ["register", "verify"]


def register(
    name: str,
    model: Any,
    *,
    sample: Any = None,
    features: Sequence[str] | None = None,
    labels: Labels = None,
    null: str | Mapping[str, Any] | None = None,
    registry: RegistryLike = None,
    target: str | None = None,
    profile: bool = True,
    batch_axis: Mapping[str, int | None] | None = None,
    constants: Mapping[str, Any] | None = None,
    row_by_row: bool = False,
    together: bool = False,
    promote: bool = False,
    trust: bool = False,
    trials: int = TRIALS,
    time_limit: float = 300,
    memory_limit: str = "8GB",
    **options: Unpack[Options],
) -> Model:
    """Store ``model`` as a new version of ``name`` and return it.

    ``model``: a fitted scikit-learn estimator or pipeline, an XGBoost, LightGBM or CatBoost model, a torch module, or
    the path of an .onnx file, of a file that XGBoost, LightGBM, CatBoost or skops saved, of a folder as Hugging Face or
    MLflow lays it out or EXPORT MODEL wrote it, or (with ``trust=True``, since loading runs its code) of a pickled
    estimator.
    ``sample``: rows as the model takes them: they name and type the features and prove the model. A file (CSV, JSON,
    Parquet) is read as DuckDB reads it.
    ``features``: names for the features of a model that has none, or the columns of the sample that are meant.
    ``labels``: classes in the order of the scores, or a file of them: one a line, or a config.json with id2label. One
    score for two classes is the probability of the second or, with ``sigmoid=True``, its logit: predict() answers the
    second where the probability is above 0.5.
    ``null``: what a NULL does, for all features or by name: 'null', 'nan', 'error' or a value.
    ``target``: the column that the model was trained to predict; where the sample has it, it is no feature.
    ``profile``: keep statistics of the sample, and up to 256 of its rows, beside the model; False keeps neither, and of
    the sample nothing but the rows of the proof.
    For .onnx files that leave it open: ``batch_axis``, by input, the axis that counts the rows, or None where all rows
    of a run share the value (an input that has a value in the file is a feature only then), and by output, where
    several axes are as long; ``constants``, by input, a value that never changes (the input is no feature then);
    ``row_by_row``, each row is a run of its own and all outputs are its answer; ``together``, rows are scored together
    though their answers then depend on their neighbours.
    ``trials``: how many made-up rows (missing, infinite and huge numbers, unseen texts, odd images …) are asked of the
    original and of SQL; what SQL would answer otherwise is refused, or the registration is. 0: none.
    ``promote``: let the bare name mean this version; the first version always does.
    ``time_limit`` (seconds) and ``memory_limit``: for a file that is no pickle, which is read and tried in a process
    of its own, so that whatever it does, this process goes on.
    ``options``: how text and images become tensors, see `Options`: tokenizer="tokenizer.json", pool="mean" …;
    ``softmax`` and ``sigmoid`` of a torch module, too.

    Raises InvalidModel, ConversionFailed, ProofFailed, UntrustedModel, FeatureError, RegistryError.
    """
    name = check_name(name)
    if trials < 0:
        raise OptionError(f"trials={trials}: a number of rows is asked for, or 0 for none")
    if target is not None:
        _require_apart(target, features or ())
    if name in RESERVED:
        raise BadReference.reserved(name)
    store = Registry.of(registry)
    limits = Limits.of(time_limit, memory_limit)
    request = RegistrationRequest(
        tuple(features or ()),
        labels,
        null,
        Layout(batch_axis or {}, constants or {}, row_by_row),
        together,
        options,
        trials,
        trust,
    )
    is_path = isinstance(model, (str, os.PathLike))
    if is_path and is_exported(Path(model)):
        said = {"sample": sample, "features": features, "labels": labels, "null": null, "target": target}
        said |= {"batch_axis": batch_axis, "constants": constants, "row_by_row": row_by_row, "together": together}
        require_unsaid(Path(model), {**said, **options})
        return Model(take_back(name, Path(model), store, limits, profile=profile, promote=promote), store)
    if is_path and is_logged(Path(model)):
        logged = read_logged(Path(model))
        model, sample = logged.path, logged.rows if sample is None else sample
    prove_path = prove_saved if is_path and is_saved(Path(model)) else prove_file
    if is_path and prove_path is prove_file:
        require_own(Path(model))
        if _is_pickle(Path(model), trust):
            model, is_path = load_pickle(Path(model), trust=trust), False
    rows = None if sample is None else Sample.of(rows_of(sample), list(features) if features else None, target)
    # A model that fails its proof was never there: it is proven in a registry that is thrown away.
    with temporary_folder() as folder:
        if is_path:
            few = rows and telling_sample(rows, PROVEN_ROWS)
            worker.call(prove_path, name, Path(model), few, request, str(folder), about=str(model), limits=limits)
        else:
            prove_estimator(name, model, rows, request, str(folder))
        proven = Registry(folder).get(name)
        files = {file.name: file.read_bytes() for file in proven.files}
    manifest = replace(proven.manifest, target=target)
    if target is not None:
        _require_apart(target, manifest.signature.feature_names)
    if rows is not None and profile:
        step("describing the sample")
        beside = files_of(rows.columns(manifest.signature.feature_names))
        manifest = replace(manifest, files={file: sha256(content).hexdigest() for file, content in beside.items()})
        files |= beside
    stored = store.add(name, lambda version: replace(manifest, version=version), files, promote=promote)
    return Model(stored, store)


def _require_apart(target: str, features: Sequence[str]) -> None:
    """Raises OptionError for what is no name, and FeatureError for a feature."""
    if not isinstance(target, str) or not target.strip():
        raise OptionError(f"target={target!r}: the name of the column that the model predicts is asked for")
    if target.lower() in (feature.lower() for feature in features):
        raise FeatureError(f"the target {target!r} is a feature of the model; it takes: {named(features)}")


def _is_pickle(path: Path, trusted: bool) -> bool:
    """By its suffix or its first bytes; where its code may run, so may that of a file of any suffix that is not ONNX's
    own."""
    named = path.suffix in PICKLES or (trusted and path.is_file() and path.suffix != ".onnx")
    return named or (path.exists() and is_pickle(path))


def verify(reference: str, *, registry: RegistryLike = None, engine: str = "auto") -> Difference:
    """Score the proof rows of a stored model through SQL again. Raises ProofFailed when the answers have changed, or
    when a value is answered that a guard refuses, and RegistryError when the files have changed."""
    store = Registry.of(registry)
    return verify_stored(store.get(reference), store, engine)
