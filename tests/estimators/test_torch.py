"""torch modules, where torch is installed: it is too large to be so everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import sqlinfer
from sqlinfer.errors import InvalidModel

torch: Any = pytest.importorskip("torch")

X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), columns=["a", "b"])


class Number(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Linear(2, 3)

    def forward(self, x):
        return self.scores(x).argmax(1)


def modules():
    torch.manual_seed(1)
    linear = torch.nn.Linear
    return {
        "sigmoid": (torch.nn.Sequential(linear(2, 1), torch.nn.Sigmoid()), {}, lambda z: torch.hstack([1 - z, z])),
        "logit": (linear(2, 1), {"sigmoid": True}, lambda z: torch.hstack([1 - z.sigmoid(), z.sigmoid()])),
        "vector": (
            torch.nn.Sequential(linear(2, 1), torch.nn.Flatten(0)),
            {"sigmoid": True},
            lambda z: torch.stack([1 - z.sigmoid(), z.sigmoid()], 1),
        ),
        "two": (linear(2, 2), {"softmax": True}, lambda z: z.softmax(1)),
    }


@pytest.mark.parametrize("name", modules())
def test_scores_become_labels_and_probabilities(name, engine, tmp_path):
    module, how, probabilities = modules()[name]
    stored = sqlinfer.register("m", module, sample=X, labels=["no", "yes"], registry=tmp_path, **how)
    assert stored.manifest.task == "classification"
    with torch.no_grad():
        expected = probabilities(module(torch.from_numpy(X.to_numpy()))).numpy()
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        rows = con.execute("SELECT predict('m', X), predict_proba('m', X) FROM X").fetchall()
    np.testing.assert_allclose([list(scores.values()) for _, scores in rows], expected, rtol=1e-5, atol=1e-6)
    assert [label for label, _ in rows] == [["no", "yes"][i] for i in expected.argmax(axis=1)]


def test_numbers_of_classes_and_probabilities_without_labels(engine, tmp_path):
    torch.manual_seed(1)
    for name, module, how in (
        ("k", Number(), {"labels": ["a", "b", "c"]}),
        ("p", torch.nn.Linear(2, 3), {"softmax": True}),
    ):
        sqlinfer.register(name, module, sample=X, registry=tmp_path, **how)
        with torch.no_grad():
            answers = module(torch.from_numpy(X.to_numpy()))
        with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
            given = [answer for (answer,) in con.execute(f"SELECT predict('{name}', X) FROM X").fetchall()]
        if name == "k":
            assert given == ["abc"[i] for i in answers]
        else:
            np.testing.assert_allclose(given, answers.softmax(1), rtol=1e-5)


def test_what_cannot_be_is_refused(tmp_path):
    linear = torch.nn.Linear(2, 1)
    with pytest.raises(InvalidModel, match="say what it is, a logit with --sigmoid"):
        sqlinfer.register("m", linear, sample=X, labels=["no", "yes"], registry=tmp_path)
    with pytest.raises(InvalidModel, match="which is no probability"):
        sqlinfer.register("m", linear, sample=X * 50, labels=["no", "yes"], sigmoid=False, registry=tmp_path)
    with pytest.raises(InvalidModel, match="one label is given"):
        sqlinfer.register("m", linear, sample=X, labels=["yes"], registry=tmp_path)
    with pytest.raises(TypeError, match=r"pool is for \.onnx files, not for a torch module"):
        sqlinfer.register("m", linear, sample=X, pool="mean", registry=tmp_path)
