"""What an executor does before it scores: it says what it lacks, and unpacks a model once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

import sqlinfer
from sqlinfer.engines.spark.package import pack, unpacked
from tests.spark.sparks import spark_problem

# As a Python worker of Spark's unpickles a function; ``said`` is what it raises.
WORKER = """
import pickle, sys
{before}
try:
    list(pickle.loads(bytes.fromhex(sys.argv[1]))(iter(())))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(find_spec("pyspark") is None, reason=str(spark_problem()))
@pytest.mark.parametrize(
    ("before", "version", "says"),
    [
        ("sys.modules['sqlinfer'] = None", "9.9.9", ["ModuleNotFoundError", "pip install sqlinfer==9.9.9"]),
        ("", "9.9.9", ["RuntimeError", f"has sqlinfer {sqlinfer.__version__}, and the driver 9.9.9: install the same"]),
    ],
)
def test_an_executor_that_lacks_sqlinfer(before, version, says):
    from pyspark import cloudpickle

    from sqlinfer.engines.spark.udf import _shipped

    function = cloudpickle.dumps(_shipped(b"", version)).hex()
    code = WORKER.format(before=before)
    ran = subprocess.run([sys.executable, "-c", code, function], capture_output=True, text=True, check=True)
    assert all(words in ran.stdout for words in says), ran.stdout


def test_workers_that_unpack_at_once(registry, tmp_path):
    package, file = pack(registry.get("iris/2"), tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: unpacked(package, file).get("iris").manifest, range(16)))
    assert {manifest.digest for manifest in found} == {registry.get("iris/2").manifest.digest}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file.name, f"{package.sha256}.d"])
