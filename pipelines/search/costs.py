"""The memory of costs: what was once computed is not computed again, in this run or a later one."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import EnvironmentFault
from pipelines.search.arrays import JsonObject
from pipelines.search.problem import Cost, Genotype, Problem, Refusal


class CostBook:
    """Costs by architecture. Trials bring their own; the file holds those of all other candidates."""

    def __init__(self, path: Path, problem: Problem) -> None:
        self._path = path
        self._problem = problem
        self._known: dict[str, Cost | Refusal] = {}
        self._unwritten: dict[str, JsonObject] = {}

    def load(self) -> None:
        """Reads the file; a line torn by a kill is cut off, since its cost can be had again."""
        if not self._path.exists():
            return
        whole, newline, torn = self._path.read_bytes().rpartition(b"\n")
        if torn:
            os.truncate(self._path, len(whole) + len(newline))
        for line in whole.decode(errors="replace").split("\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("cost_id") != self._problem.cost_id:
                continue
            refused = entry.get("refused")
            self._known[entry["key"]] = (
                Cost(values=tuple(entry["values"]), summary=entry["summary"])
                if refused is None
                else Refusal(reason=refused)
            )

    def put(self, key: str, cost: Cost) -> None:
        """Remembers the cost of a stored trial."""
        self._known[key] = cost

    def of(self, keys: Sequence[str], genotypes: Sequence[Genotype]) -> list[Cost | Refusal]:
        """Costs of the given architectures; only those never seen are computed."""
        missing = {
            key: row for key, row in zip(keys, genotypes, strict=True) if key not in self._known
        }
        if missing:
            rows = np.asarray(list(missing.values()), dtype=np.int64)
            for (key, row), cost in zip(missing.items(), self._problem.costs(rows), strict=True):
                self._known[key] = cost
                self._unwritten[key] = self._entry(key, row, cost)
        return [self._known[key] for key in keys]

    def write(self, except_keys: set[str]) -> None:
        """Appends what was computed since the last call, but for candidates that become trials."""
        lines = [
            json.dumps(entry, separators=(",", ":"))
            for key, entry in self._unwritten.items()
            if key not in except_keys
        ]
        self._unwritten.clear()
        if not lines:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            raise EnvironmentFault(f"Cannot write {self._path}: {error.strerror}") from error

    def _entry(self, key: str, row: Genotype, cost: Cost | Refusal) -> JsonObject:
        entry: dict[str, Any] = {"key": key, "genotype": row, "cost_id": self._problem.cost_id}
        if isinstance(cost, Refusal):
            return {**entry, "refused": cost.reason}
        return {**entry, "values": cost.values, "summary": dict(cost.summary)}
