"""A sample of the survey on files that packages of the dev extra carry: what others exported, not what we made."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime.datasets
import pytest

from tests.conftest import ENGINES
from tests.models.survey import files, survey

RUNTIME = sorted(Path(onnxruntime.datasets.__file__).parent.glob("*.onnx"))
CONVERTED = Path(onnx.__file__).parent / "backend/test/data"
SOME = ["Conv2d_groups", "Embedding_sparse", "LSTM", "MaxPool1d_stride", "PixelShuffle", "Softmin", "ZeroPad2d"]
PYTORCH = [p for name in SOME for p in (CONVERTED / f"pytorch-converted/test_{name}/model.onnx",) if p.exists()]


@pytest.mark.parametrize("file", RUNTIME + PYTORCH, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_sql_answers_what_onnx_runtime_answers(file):
    found = survey(file, "package", "1", file.name)
    assert found.agrees and set(found.engines or ()) == set(ENGINES), found


def test_the_sample_is_there():
    assert len(RUNTIME) >= 3


def test_the_survey_sees_a_difference(monkeypatch):
    """The reference is taken of another row: the survey must not call that the same."""
    import tests.models.survey as module

    honest = module._reference

    def turned(*given):
        rows, lost = honest(*given)
        return rows[1:] + rows[:1], lost

    monkeypatch.setattr(module, "_reference", turned)
    found = survey(next(file for file in RUNTIME if file.name == "sigmoid.onnx"), "package", "1", "sigmoid.onnx")
    assert not found.agrees and all(text.startswith("differs") for text in found.engines.values())


def test_refused_files_are_findings(tmp_path):
    graph = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18, "far": 1]> g (float[n] x) => (float[n] y) { y = far.Off(x) }'
    )
    onnx.save(graph, tmp_path / "m.onnx")
    (given,) = files(tmp_path, tmp_path / "scratch")
    found = survey(*given)
    assert not found.agrees and found.note.startswith("refused: ") and "Off" in found.note
