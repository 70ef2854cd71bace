"""What a request is costed with: target and evaluator, found by the message that names them and remembered."""

import dataclasses
import hashlib
import tomllib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hw_model.cost import Evaluator, evaluator_for
from hw_model.cost.batch import SpecCost, coster_for
from hw_model.errors import SpecError, UnknownNameError
from hw_model.service import cost_pb2 as pb
from hw_model.targets import Target, list_targets, load_target
from hw_model.targets.loader import from_data

DEFAULT_TARGET = "pixel6"
DEFAULT_EVALUATOR = "analytical"
#: A target file has about 5 kB.
TOML_CHARACTERS = 1 << 16
REMEMBERED = 16
#: Changes whenever a stored answer would be read or made differently.
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One evaluator on one target; `key` is what they add to the key of a stored answer."""

    evaluator: Evaluator
    coster: Callable[[Any], SpecCost]
    #: Worked out once: a target's id is a hash of all its values.
    target_id: str
    key: bytes


class Benches:
    """The benches used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], Bench] = OrderedDict()

    def of(self, target: "pb.Target", evaluator: str) -> Bench:
        """The bench for a target and an evaluator; empty ones mean the defaults.

        Raises:
            UnknownNameError: no such target or evaluator.
            SpecError: the text of a target breaks a rule.
        """
        name = evaluator or DEFAULT_EVALUATOR
        asked = (target.name, target.toml, name)
        bench = self._known.pop(asked, None) or _make(read_target(target), name)
        self._known[asked] = bench
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return bench


def read_target(message: "pb.Target") -> Target:
    """The target a message means. A name is never taken for a path: the sender has no files here."""
    if message.WhichOneof("form") != "toml":
        name = message.name or DEFAULT_TARGET
        if name not in list_targets():
            raise UnknownNameError("target", name, list_targets())
        return load_target(name)
    if len(message.toml) > TOML_CHARACTERS:
        raise SpecError("target", f"must have at most {TOML_CHARACTERS} characters")
    try:
        return from_data(tomllib.loads(message.toml))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError("target", f"is not valid TOML: {error}") from error
    except SpecError as error:
        raise error.under("target") from None


def _make(target: Target, name: str) -> Bench:
    evaluator = evaluator_for(target, name)
    # Names and declared errors are no part of a target's id, but they are of an answer.
    labels = (target.name, dataclasses.astuple(target.accuracy))
    target_id = target.target_id
    parts = (FORMAT, target_id, evaluator.evaluator_id, labels)
    return Bench(
        evaluator=evaluator,
        coster=coster_for(target, name),
        target_id=target_id,
        key=hashlib.sha256(repr(parts).encode()).digest(),
    )
