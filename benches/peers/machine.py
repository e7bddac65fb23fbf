"""The machine that times are taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# Features that decide which code runs, as Linux names them; NEON is `asimd` there.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "sve")


def cpu_fields() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, object]:
    fields = cpu_fields()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in flags],
        "threads": threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def limited(count: int) -> dict[str, str]:
    """Variables that hold all libraries to this many threads."""
    out = {
        name: str(count)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    }
    if count == 1:
        out["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return out
