"""One virtual environment per package, outside the repository; large bases are shared."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .package import Package

# Bases that several packages stand on.
BASES = {
    "torch": ["torch==2.15.0", "numpy==2.4.6", "scipy==1.17.1"],
    "jax": ["jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6", "scipy==1.17.1"],
}


class CannotInstall(Exception):
    """Why there is no environment."""


def cache() -> Path:
    home = os.environ.get("FLATGAUGE_SURVEY_CACHE")
    return Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flatgauge-survey"


def python(version: str) -> str:
    """A Python of this version: of this process, or `python3.8` on PATH."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    found = shutil.which(f"python{version}")
    if not found:
        raise CannotInstall(f"there is no python{version} on this machine")
    return found


def site(folder: Path, version: str) -> Path:
    return folder / "lib" / f"python{version}" / "site-packages"


def build(name: str, version: str, requirements: list[str], base: Path | None) -> Path:
    """A folder with an environment: named by what is in it, made once."""
    mark = hashlib.sha256("\n".join([version, str(base and base.name), *requirements]).encode()).hexdigest()[:8]
    folder = cache() / f"{name}-{mark}"
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"environment of {name}: {' '.join(requirements)}", file=sys.stderr)
    commands = [[python(version), "-m", "venv", str(folder)]]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    for words in [*commands, [*pip, *requirements]]:
        if words[0] != commands[0][0] and base:
            (site(folder, version) / "base.pth").write_text(f"{site(base, version)}\n")
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            last = [line for line in done.stdout.splitlines() if line.strip()][-3:]
            raise CannotInstall(" | ".join(last))
    (folder / "complete").touch()
    return folder


def make(package: Package) -> str:
    """The interpreter of a package's environment, made if there is none yet."""
    if package.table.get("interpreter"):
        found = shutil.which(package.table["interpreter"])
        if not found:
            raise CannotInstall(f"there is no {package.table['interpreter']} on this machine: {package.table['install']}")
        return found
    version = package.table.get("python", "3.11")
    name = package.table.get("base")
    base = build(f"base-{name}", version, BASES[name], None) if name else None
    folder = build(package.name, version, package.table["requirements"], base)
    return str(folder / "bin" / "python")


def words(package: Package, survey: Path) -> list[str]:
    """What stands between the interpreter and the adapter: Python finds `adapter` in the survey's folder."""
    if package.table.get("interpreter"):
        return list(package.table.get("interpreter_flags", []))
    return ["-c", f"import runpy, sys; sys.path[0] = {str(survey)!r}; runpy.run_path(sys.argv[1], run_name='__main__')"]


def versions(package: Package) -> list[str]:
    """Everything installed in the environment, as name==version."""
    interpreter = make(package)
    if package.table.get("interpreter"):
        done = subprocess.run([interpreter, *package.table["versions"]], capture_output=True, text=True)
        return done.stdout.split()
    code = (
        "import importlib.metadata as m\n"
        "print('\\n'.join(sorted({f\"{d.metadata['Name']}=={d.version}\" for d in m.distributions()}, key=str.lower)))"
    )
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True).stdout.split()
