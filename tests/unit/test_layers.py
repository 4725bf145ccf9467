"""The picture of the design holds: imports go one way, and each library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sqlinfer

PACKAGE = Path(sqlinfer.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a part may import from is what stands on a line above it, or beside it on its own.
LAYERS = [
    ("version", "errors", "types", "installation", "telemetry", "temporary", "progress", "tables"),
    ("models",),
    ("graphs", "sql"),
    ("convert", "runtime"),
    ("engines",),
    ("trials", "model", "function"),
    ("registration",),
    ("connection",),
    ("evaluation", "scoring", "serve"),
    ("cli", "notebook", "spark", "__init__"),
]
# Within a line, these do not know of one another.
STRANGERS = {("graphs", "sql"), ("convert", "runtime"), ("trials", "model"), ("trials", "function")} | {
    ("evaluation", "scoring")
}

HOMES = {
    "sqlglot": ("sql/",),
    "onnxruntime": ("runtime/", "trials/", "engines/catalogue.py"),
    "duckdb": ("engines/", "connection/", "evaluation/source.py", "scoring/", "cli/"),
    "click": ("cli/",),
    "onnx": ("graphs/", "convert/"),
    "IPython": ("notebook.py",),
    "sklearn": ("convert/",),
    "skl2onnx": ("convert/",),
    "catboost": ("convert/",),
    "xgboost": ("convert/",),
    "lightgbm": ("convert/",),
    "torch": ("convert/",),
    "skops": ("convert/",),
    "pyspark": ("engines/spark/", "spark.py"),
    "yaml": ("registration/sources/mlflow.py",),
    "tokenizers": ("runtime/texts.py",),
    "safetensors": ("graphs/preprocess/sentence.py",),
    "matplotlib": ("evaluation/picture.py",),
    "starlette": ("serve/",),
    "uvicorn": ("serve/",),
    "orjson": ("serve/",),
    "prometheus_client": ("serve/metrics.py",),
    "PIL": ("runtime/images.py", "trials/odd_images.py", "runtime/pixels.py"),
}
# Optional packages are not imported before they are needed.
OPTIONAL = {"sklearn", "skl2onnx", "catboost", "xgboost", "lightgbm", "torch", "pandas", "polars", "joblib"} | {
    "skops",
    "yaml",
    "tokenizers",
    "safetensors",
    "PIL",
    "matplotlib",
    "pyspark",
}


def layer(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_only: bool = False):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            inner = node.module == "sqlinfer"
            yield from ([f"sqlinfer.{alias.name}" for alias in node.names] if inner else [str(node.module)])


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_imports_only_from_the_left(path):
    part = part_of(path)
    for imported in imports(path):
        other = imported.split(".")[1] if imported.startswith("sqlinfer.") else None
        if other is not None and (PACKAGE / other).with_suffix(".py").exists() | (PACKAGE / other).is_dir():
            assert layer(other) <= layer(part), f"{name(path)} imports {imported}"
            assert not {(part, other), (other, part)} & STRANGERS, f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) not in ("cli", "notebook")], ids=name)
def test_only_the_faces_import_the_whole_package(path):
    assert "sqlinfer" not in list(imports(path))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_each_library_stays_at_home(path):
    for imported in imports(path):
        homes = HOMES.get(imported.split(".")[0])
        assert homes is None or name(path).startswith(homes), f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_optional_packages_are_imported_where_they_are_used(path):
    assert not OPTIONAL & {imported.split(".")[0] for imported in imports(path, top_only=True)}


def test_engines_do_not_know_one_another():
    for engine in ("arrow", "native"):
        others = {"sqlinfer.engines.arrow", "sqlinfer.engines.native", "sqlinfer.engines.spark"}
        found = set(imports(PACKAGE / "engines" / f"{engine}.py"))
        assert not found & (others - {f"sqlinfer.engines.{engine}"})


def test_every_module_is_in_the_picture():
    """A new part of the package has to say which line of the design it stands on."""
    known = {part for parts in LAYERS for part in parts}
    assert {part_of(path) for path in MODULES} - {"__main__"} <= known


def test_no_module_imports_itself_by_way_of_others():
    names = {
        "sqlinfer." + name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in MODULES
    }

    def imported(path: Path) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {one if one in names else str(node.module) for one in whole}
        return (found & set(names)) - {"sqlinfer"}

    order = TopologicalSorter({module: imported(path) for module, path in names.items()})
    order.prepare()


def test_a_query_needs_no_onnx(tmp_path):
    """Graphs are read when a model is registered; a query has model.json and ONNX Runtime."""
    code = "import sqlinfer, sys; sqlinfer.connect(registry=sys.argv[1]); print({'onnx', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
