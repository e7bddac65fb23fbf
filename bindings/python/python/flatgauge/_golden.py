"""Certified values: numbers by programs that share no code with the library, with where they come from."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _flatgauge
from ._estimate import Estimate


@dataclass(frozen=True)
class Golden:
    """A record of `golden/`.

    Attributes
    ----------
    name : str
        As ``prior/mnist_true_20_1``.
    record : dict
        The record as it stands in the repository: what it is, its values, the programs and versions that gave them.
    arrays : dict
        Arrays that belong to it, by name (``gram``, ``labels``, ``x``, ``nngp``, ...).
    """

    name: str
    record: dict[str, Any]
    arrays: dict[str, Any]

    def value(self, quantity: str = "true", link: str = "step") -> Estimate:
        """A certified value of log P(f) in nats: the ``true`` one, or a method's fixed point (``ep``, ...)."""
        for row in self.record.get("values", []):
            if row["quantity"] == quantity and row["link"] == link:
                return Estimate(float(row["value"]), row.get("std_error"), info=row)
        known = [(row["quantity"], row["link"]) for row in self.record.get("values", [])]
        raise KeyError(f"{self.name} has no value ({quantity!r}, {link!r}), expected one of {known}")

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """The programs behind its values, with the value of each."""
        rows = self.record.get("values", [])
        return [{"quantity": row["quantity"], "link": row["link"], **by} for row in rows for by in row.get("by", [])]


def _arrays(room: str, stem: str) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for file in _flatgauge.golden_files():
        if not file.startswith(f"{room}/{stem}."):
            continue
        content = _flatgauge.golden_file(file)
        assert content is not None
        key = file.removeprefix(f"{room}/{stem}.")
        if key.endswith("npy"):
            arrays[key.removesuffix("npy").removesuffix(".") or "array"] = np.load(io.BytesIO(content))
        elif key.endswith("npz"):
            with np.load(io.BytesIO(content)) as archive:
                arrays.update(archive)
        elif key.endswith("safetensors"):
            arrays["safetensors"] = content
    return arrays


def golden(name: str) -> Golden:
    """A certified record by name, as ``prior/mnist_true_20_1``; with its arrays and where its values come from.

    Examples
    --------
    >>> import flatgauge
    >>> case = flatgauge.golden("prior/mnist_true_20_1")
    >>> case.arrays["gram"].shape, round(case.value("true", "step").value, 3)
    ((20, 20), -16.39)
    """
    records = _records()
    if name not in records:
        raise KeyError(f"there is no record {name!r}, expected one of {sorted(records)}")
    return Golden(name, records[name], _arrays(*name.split("/", 1)))


def _records() -> dict[str, dict[str, Any]]:
    records = {}
    for file in _flatgauge.golden_files():
        if file.endswith(".json"):
            room, _, stem = file.removesuffix(".json").partition("/")
            content = _flatgauge.golden_file(file)
            assert content is not None
            document = json.loads(content)
            cases = document.get("cases", []) if isinstance(document, dict) else []
            for case in cases if isinstance(cases, list) else []:
                if isinstance(case, dict) and "name" in case:
                    records[f"{room}/{case['name']}"] = case
            if isinstance(document, dict):
                records.setdefault(f"{room}/{stem}", document)
    return records
