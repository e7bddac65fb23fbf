"""Examples in docs/python.md and in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.mark.parametrize("name", ["_case", "_estimate", "_gate", "_golden", "_numbers", "_operator"])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"flatgauge.{name}")).failed == 0


def test_the_page():
    failures, tried = doctest.testfile(str(DOCS), module_relative=False)
    assert failures == 0 and tried > 10


def test_the_ten_lines_of_the_page(pytester, torch):
    [example] = [block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "test_trace(law)" in block]
    pytester.makepyfile(test_trace=example)
    green = pytester.runpytest_subprocess("-k", "definition and fcn")
    assert green.ret == 0
    pytester.makepyfile(test_trace=example.replace("return torch.func", "return 1.01 * torch.func"))
    red = pytester.runpytest_subprocess("-k", "definition and fcn-4-5-3-relu-ce-0")
    assert red.ret == 1
    red.stdout.fnmatch_lines(["*LawBroken: hessian_trace breaks curvature.definition on fcn-4-5-3-relu-ce-0", "*ratio: *1.01"])
