"""Reports, short costs and errors as messages and back: fields go by their names, which are the same on both sides."""

import dataclasses
from typing import Any

from hw_model.cost.batch import SpecCost
from hw_model.cost.report import CostReport, ModelTerms, OpRow
from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, SpecError, UsageError
from hw_model.service import cost_pb2 as pb
from hw_model.targets.target import Target

#: What a report has and a message has too; graph and target stay where they are.
REPORT_FIELDS = tuple(
    field.name for field in dataclasses.fields(CostReport) if field.name not in ("source", "target")
)
#: Longest text of an error: what was received may be part of it, and may be long.
ERROR_CHARACTERS = 2000


class UnsupportedModelError(UsageError):
    """A kind of model the server was started without a reader for."""


class LimitError(EnvironmentFault):
    """A model that needs more memory or time than the server gives to one."""


#: First match wins, so subclasses stand before their bases.
_KINDS: tuple[tuple[type[EdgeZooError], "pb.Error.Kind"], ...] = (
    (SpecError, pb.Error.SPEC),
    (UnsupportedModelError, pb.Error.UNSUPPORTED),
    (UsageError, pb.Error.USAGE),
    (DataError, pb.Error.DATA),
    (LimitError, pb.Error.LIMIT),
    (EnvironmentFault, pb.Error.ENVIRONMENT),
    (EdgeZooError, pb.Error.INTERNAL),
)


def pack(message: Any, value: Any, names: tuple[str, ...]) -> None:
    """Copies attributes of a dataclass or named tuple into the fields of the same names.

    Raises:
        OverflowError: a number that needs more than 64 bits.
    """
    try:
        _pack(message, value, names)
    except ValueError as error:
        raise OverflowError(str(error)) from error


def _pack(message: Any, value: Any, names: tuple[str, ...]) -> None:
    for name in names:
        item = getattr(value, name)
        if isinstance(item, str):
            setattr(message, name, clean(item))
        elif isinstance(item, dict):
            getattr(message, name).update(item)
        elif isinstance(item, tuple):
            for shape in item:
                getattr(message, name).add(sizes=shape)
        elif dataclasses.is_dataclass(item):
            _pack(getattr(message, name), item, _names(type(item)))
        else:
            setattr(message, name, item)


def pack_rows(message: "pb.Cost", rows: tuple[OpRow, ...]) -> None:
    """Adds the cost of every operation."""
    for row in rows:
        pack(message.rows.add(), row, _names(OpRow))


def unpack(cls: type, message: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a message as keyword arguments of a class."""
    values = {}
    for name in names:
        item = getattr(message, name)
        if name.endswith("_shapes"):
            item = tuple(tuple(shape.sizes) for shape in item)
        elif name in ("bytes_by_level", "pj_by_component"):
            item = dict(item)
        elif name == "model_terms":
            item = ModelTerms(**unpack(ModelTerms, item, _names(ModelTerms)))
        values[name] = item
    return values


def report_of(message: "pb.Cost", *, source: Any, target: Target) -> CostReport:
    """The report a message holds; with its rows where it holds them."""
    values = unpack(CostReport, message, REPORT_FIELDS)
    report = CostReport(**values, source=source, target=target)
    if message.rows:
        # What the server worked out is not worked out again when somebody asks for it.
        vars(report)["rows"] = rows_of(message)
    return report


def rows_of(message: "pb.Cost") -> tuple[OpRow, ...]:
    """The cost of every operation."""
    names = _names(OpRow)
    return tuple(OpRow(**unpack(OpRow, row, names)) for row in message.rows)


def short_of(message: "pb.Cost") -> SpecCost:
    """The figures a search reads."""
    return SpecCost(**unpack(SpecCost, message, SpecCost._fields))


def error_message(error: BaseException) -> "pb.Error":
    """An error as an answer; one that is not ours is named by its type alone, the log has the rest."""
    if isinstance(error, SpecError):
        return pb.Error(kind=pb.Error.SPEC, message=_short(error.problem), path=_short(error.path))
    if isinstance(error, EdgeZooError):
        kind = next(kind for cls, kind in _KINDS if isinstance(error, cls))
        return pb.Error(kind=kind, message=_short(str(error)))
    text = f"The cost server made a mistake ({type(error).__name__}); its log says more."
    return pb.Error(kind=pb.Error.INTERNAL, message=text)


def error_of(message: "pb.Error") -> EdgeZooError:
    """The error a message holds."""
    if message.kind == pb.Error.SPEC:
        return SpecError(message.path, message.message)
    cls = next((cls for cls, kind in _KINDS if kind == message.kind), EdgeZooError)
    return cls(message.message)


def clean(text: str) -> str:
    """Text that can be sent: JSON may hold half a character, a message may not."""
    return text.encode("utf-8", "replace").decode()


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= ERROR_CHARACTERS else f"{text[:ERROR_CHARACTERS]} …"


def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))
