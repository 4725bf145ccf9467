"""Sound files to begin with: what converters write, what packages carry, and the shapes that graphs have."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import onnxruntime.datasets
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

__all__ = ["seeds"]

_GRAPHS = {
    "loop": """<ir_version: 8, opset_import: ["" : 17]>
        loop (float[N, 3] x) => (float[N, 3] y) {
            times = Constant<value: tensor = int64 {3}>()
            go = Constant<value: tensor = bool {1}>()
            y = Loop(times, go, x)<body = step (int64 i, bool on, float[N, 3] z) => (bool more, float[N, 3] z2) {
                more = Identity(on)
                z2 = Add(z, z)
            }>
        }""",
    "text": """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
        text (string[N, 1] word) => (int64[N, 1] y) {
            y = ai.onnx.ml.LabelEncoder<keys_strings = ["a", "b"], values_int64s = [1, 2], default_int64 = -1>(word)
        }""",
    "recurrent": """<ir_version: 8, opset_import: ["" : 17]>
        recurrent (float[N, 5, 2] x) => (float[N, 3] y)
        {
            wx = Constant<value: tensor = int64[3] {1, 12, 2}>()
            wr = Constant<value: tensor = int64[3] {1, 12, 3}>()
            tenth = Constant<value: tensor = float[1] {0.1}>()
            W = Expand(tenth, wx)
            R = Expand(tenth, wr)
            t = Transpose<perm = [1, 0, 2]>(x)
            all, last = LSTM<hidden_size = 3>(t, W, R)
            axes = Constant<value: tensor = int64[1] {0}>()
            y = Squeeze(last, axes)
        }""",
    "lists": """<ir_version: 8, opset_import: ["" : 17]>
        lists (float[N, L] x, int64[N] k) => (float[N, L] y, float[N] s) {
            y = Softmax<axis = 1>(x)
            f = Cast<to = 1>(k)
            m = ReduceMean<axes = [1], keepdims = 0>(x)
            s = Mul(m, f)
        }""",
}


def seeds(folder: Path) -> list[Path]:
    """Write the files into the folder."""
    X, y = load_iris(return_X_y=True)
    X = X.astype("float32")
    fitted = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression()),
        "boosted": GradientBoostingClassifier(n_estimators=5),
        "forest": RandomForestRegressor(n_estimators=4, max_depth=4),
        "network": MLPClassifier((8,), max_iter=500, tol=1e-2),
        "vectors": SVC(),
    }
    for name, estimator in fitted.items():
        (folder / f"{name}.onnx").write_bytes(to_onnx(estimator.fit(X, y), X[:1], target_opset=17).SerializeToString())
    for name, text in _GRAPHS.items():
        onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    (folder / "sigmoid.onnx").write_bytes(Path(onnxruntime.datasets.get_example("sigmoid.onnx")).read_bytes())
    return sorted(folder.glob("*.onnx"))
