"""One server for the tests of a module, of all models."""

from __future__ import annotations

import pytest

from tests.serve.serving import serving


@pytest.fixture(scope="module")
def server(registry):
    with serving(registry) as server:
        yield server
