"""The errors a user can cause: one base class, one line each, and the exit code the command line answers with."""

import difflib
from collections.abc import Iterable


class EdgeZooError(Exception):
    """Base of every error this project raises on purpose; its text is one line a user can act on."""

    exit_code = 1


class UsageError(EdgeZooError):
    """A wrong name, flag, value or combination."""

    exit_code = 2


class SpecError(UsageError):
    """A spec or graph that breaks a rule; `path` says where, such as `backbone.stacks[2].kernel`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}" if path else problem)

    def under(self, prefix: str) -> "SpecError":
        """The same error seen from one level further out."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        return SpecError(f"{prefix}{dot}{self.path}", self.problem)


class UnknownNameError(UsageError):
    """A name nobody registered; suggests the nearest known ones."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"Known: {', '.join(names)}." if names else "None is known here."
        if near:
            hint = f"Did you mean {' or '.join(near)}?"
        super().__init__(f"Unknown {kind}. {hint} Received: {name!r}")


class DataError(EdgeZooError):
    """A file or data set that is missing, corrupt, empty or not what it claims to be."""

    exit_code = 3


class EnvironmentFault(EdgeZooError):
    """The machine lacks something: a package, disk space, a permission."""

    exit_code = 4
