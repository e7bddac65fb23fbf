"""A request for log P(f): a Gram matrix and labels."""

from __future__ import annotations

from typing import Any

import numpy as np


def read(request: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, str]:
    """Gram matrix, labels (+1, -1) and link."""
    gram = np.load(request["gram"]).astype(float)
    labels = np.load(request["labels"]).astype(float).ravel()
    return gram, labels, request["link"]
