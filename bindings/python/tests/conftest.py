"""What the tests share."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (pip install flatgauge[torch])", exc_type=ImportError)


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed (pip install flatgauge[jax])", exc_type=ImportError)
