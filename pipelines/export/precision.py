"""Precision policies: which layers of an exported file are to keep more than 8 bits, as a TOML file says it."""

import difflib
import re
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hw_model import codec
from hw_model.errors import DataError, SpecError
from hw_model.files import write_text

Precision = Literal["int8", "int16", "float32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: Characters that make a pattern of a name.
_SPECIAL = re.compile(r"[^\w\s-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The precision of all layers whose whole name a regular expression matches.

    `int16`: 8-bit weights and 16-bit activations.
    """

    layers: str
    precision: Precision

    def __post_init__(self) -> None:
        try:
            re.compile(self.layers)
        except re.error as error:
            raise SpecError(
                "layers", f"is no regular expression: {error}. Received: {self.layers!r}"
            ) from None

    def names(self, layer: str) -> bool:
        """Whether the rule is about this layer."""
        return re.fullmatch(self.layers, layer) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The precision of every layer: that of the last rule that names it, or the default."""

    default: Precision = "int8"
    summary: str = ""
    rules: tuple[Rule, ...] = ()

    def precision_of(self, layers: Collection[str]) -> Precision | None:
        """What is asked of an operator that computes these layers; None where no rule names one of them.

        >>> Policy(rules=(Rule(layers="stem_.*", precision="int16"),)).precision_of(["stem_conv2d"])
        'int16'
        """
        for rule in reversed(self.rules):
            if any(rule.names(layer) for layer in layers):
                return rule.precision
        return None

    def check(self, layers: Sequence[str]) -> None:
        """Raises `SpecError` for a rule that names none of these layers."""
        for number, rule in enumerate(self.rules):
            if not any(rule.names(layer) for layer in layers):
                plain = _SPECIAL.sub("", rule.layers)
                near = difflib.get_close_matches(plain, layers, n=3, cutoff=0.0)
                raise SpecError(
                    f"rules[{number}].layers",
                    f"must match the whole name of a layer, such as {' or '.join(near)}. "
                    f"Received: {rule.layers!r}",
                )

    def text(self) -> str:
        """The policy as a TOML file, which reads back equal."""
        lines = [f"summary = {_quoted(self.summary)}"] if self.summary else []
        lines.append(f'default = "{self.default}"')
        for rule in self.rules:
            lines += ["", "[[rules]]", f"layers = {_quoted(rule.layers)}"]
            lines.append(f'precision = "{rule.precision}"')
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> None:
        """Writes the policy as a TOML file, whole or not at all."""
        write_text(path, self.text())


def keeping(layers: Sequence[str], precision: Precision, *, summary: str = "") -> Policy:
    """The policy that keeps these layers in a precision, and everything else in 8 bits."""
    rules = tuple(Rule(layers=re.escape(layer), precision=precision) for layer in layers)
    return Policy(rules=rules, summary=summary)


def load_policy(path: Path) -> Policy:
    """The policy in a TOML file.

    Raises:
        DataError: no such file, or not TOML.
        SpecError: an unknown key or a value that is none; the message holds the file and the path in it.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"Cannot read precision policy {path}: {error.strerror or error}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"Precision policy {path} is not valid TOML: {error}") from error
    try:
        return codec.from_data(Policy, table)
    except SpecError as error:
        raise SpecError(
            f"{path}: {error.path}" if error.path else str(path), error.problem
        ) from None


def _quoted(text: str) -> str:
    """A TOML string: literal where it can be, so that patterns look as they are."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    escaped = "".join(_escaped(char) for char in text)
    return f'"{escaped}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08X}"
