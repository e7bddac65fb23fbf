"""A package of the survey, as its package.toml says."""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One way in which a package computes one number of the gate."""

    table: dict[str, Any]

    @property
    def kind(self) -> str:
        return next(kind for kind in ("measure", "prior", "kernel") if kind in self.table)

    @property
    def what(self) -> str:
        return self.table[self.kind]

    @property
    def column(self) -> str:
        """Its column in the table: a method of log P(f) has one per link."""
        return f"{self.what} ({self.table['link']})" if "link" in self.table else self.what

    @property
    def id(self) -> str:
        parts = [self.what, self.table.get("link"), self.table.get("variant")]
        return ".".join(part for part in parts if part)

    def limit_of(self, name: str) -> str | None:
        """Why a failure is a declared limit; patterns are those of the gate's --known."""
        for pattern, why in self.table.get("known", {}).items():
            if fnmatch.fnmatchcase(name, pattern if "*" in pattern else f"*{pattern}*"):
                return why
        return None

    def defect_of(self, law: str, estimator: str, case: str) -> dict[str, Any] | None:
        """The understood defect that a failure belongs to."""
        name = f"{law}/{estimator}/{case}"
        for defect in self.table.get("defect", []):
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in defect["matches"]):
                return defect
        return None


@dataclass(frozen=True)
class Package:
    folder: Path
    table: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Package:
        return cls(folder, tomllib.loads((folder / "package.toml").read_text()))

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        return self.table["title"]

    @property
    def cells(self) -> list[Cell]:
        return [Cell(table) for table in self.table.get("cell", [])]

    @property
    def adapter(self) -> Path:
        """Its own adapter; versions of one package share one."""
        return self.folder.parent / self.table.get("adapter_of", self.name) / self.table.get("adapter", "adapter.py")


def every(survey: Path) -> list[Package]:
    """All packages, in the order of their titles."""
    found = [Package.read(file.parent) for file in (survey / "packages").glob("*/package.toml")]
    return sorted(found, key=lambda package: (package.table.get("own", False), package.title.lower()))
