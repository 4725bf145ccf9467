"""The ONNX project's node cases through SQL, on every engine; without those that write one operator out in others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ENGINES
from tests.onnx_cases.agreement import ONNX, ask, folders

pytestmark = pytest.mark.slow

# Each is a test, for tests run side by side.
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_every_case_gives_the_right_outputs(part, request, tmp_path):
    cache = Path(request.config.cache.mkdir(f"onnx-{ONNX}"))
    written_once = [folder for folder in folders(cache) if "_expanded" not in folder.name]
    found = ask(written_once[part::PARTS], tmp_path)
    assert not found.wrong, "\n".join(found.wrong)
    assert min(found.agreed["a table of rows", engine] for engine in ENGINES) > 700 / PARTS
