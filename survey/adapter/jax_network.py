"""Networks and losses of this repository's JAX bridge, without its compiled part."""

from __future__ import annotations

import sys
import types

from .protocol import bindings

bindings("errors")
# The bridge reads the layout of parameters from the compiled part; the survey reads it from the file's names.
stub = types.ModuleType("flatgauge._case")
stub.Case, stub.layout = object, None
sys.modules.setdefault("flatgauge._case", stub)
bridge = bindings("jax")
run, loss = bridge._run, bridge.loss
