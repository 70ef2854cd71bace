"""Messages: whatever a report, a row or an error says survives the way there and back."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from service_toy import tiny

from hw_model import estimate, load_target
from hw_model.cost import CostReport, ModelTerms, OpRow
from hw_model.cost.batch import SpecCost, coster_for
from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, SpecError, UsageError
from hw_model.service import cost_pb2 as pb
from hw_model.service.wire import (
    ERROR_CHARACTERS,
    REPORT_FIELDS,
    LimitError,
    UnsupportedModelError,
    error_message,
    error_of,
    pack,
    pack_rows,
    report_of,
    short_of,
)
from model_zoo.registry import spec_of

SPEC = spec_of("mobilenet_edgetpu_v2_tiny")


@pytest.mark.parametrize(
    ("cls", "message"),
    [(ModelTerms, pb.ModelTerms), (OpRow, pb.OpRow), (SpecCost, pb.Cost), (CostReport, pb.Cost)],
)
def test_every_field_has_its_place_in_the_message(cls: Any, message: Any) -> None:
    """A field added to a report belongs into cost.proto: otherwise a service would answer without it."""
    names = (
        REPORT_FIELDS
        if cls is CostReport
        else cls._fields
        if cls is SpecCost
        else [field.name for field in dataclasses.fields(cls)]
    )
    assert set(names) <= set(message.DESCRIPTOR.fields_by_name)


def test_a_report_with_rows_comes_back_equal() -> None:
    report = estimate(SPEC, target="coral_usb")
    message = pb.Cost()
    pack(message, report, REPORT_FIELDS)
    pack_rows(message, report.rows)
    read = pb.Cost.FromString(message.SerializeToString())
    back = report_of(read, source=SPEC, target=load_target("coral_usb"))
    assert back == report
    assert vars(back)["rows"] == report.rows


def test_a_short_cost_comes_back_equal() -> None:
    short = coster_for(load_target("pixel6"))(SPEC)
    message = pb.Cost()
    pack(message, short, SpecCost._fields)
    assert short_of(pb.Cost.FromString(message.SerializeToString())) == short


def test_numbers_beyond_64_bits_are_refused() -> None:
    report = replace(estimate(tiny(), target="pixel6"), macs=1 << 63)
    with pytest.raises(OverflowError):
        pack(pb.Cost(), report, REPORT_FIELDS)


@pytest.mark.parametrize(
    "error",
    [
        SpecError("stacks[2].kernel", "must be odd. Received: 2"),
        UsageError("a wrong name"),
        DataError("a torn file"),
        EnvironmentFault("no disk"),
        UnsupportedModelError("no specs"),
        LimitError("too large"),
    ],
)
def test_errors_come_back_with_type_and_text(error: EdgeZooError) -> None:
    message = pb.Error.FromString(error_message(error).SerializeToString())
    back = error_of(message)
    assert (type(back), str(back)) == (type(error), str(error))


def test_a_mistake_of_ours_tells_its_type_and_nothing_more() -> None:
    back = error_of(error_message(KeyError("/home/somebody/secret")))
    assert type(back) is EdgeZooError
    assert "KeyError" in str(back)
    assert "secret" not in str(back)


def test_what_was_received_is_cut_and_half_characters_are_replaced() -> None:
    message = error_message(SpecError("a\ud800b", "x" * 10 * ERROR_CHARACTERS))
    assert len(message.message) < ERROR_CHARACTERS + 10
    assert message.path == "a?b"
