"""Files in parts: put together again, within bounds, and never mixed."""

import pytest

from hw_model.service import cost_pb2 as pb
from hw_model.service.parts import Assembler, PartOutOfPlace, Room, TooManyParts


def part(number: int, data: bytes, *, more: bool = True) -> pb.EstimateRequest:
    return pb.EstimateRequest(id=number, tflite=data, more=more)


@pytest.fixture
def used() -> list[float]:
    return []


@pytest.fixture
def room(used: list[float]) -> Room:
    return Room(100, observe=used.append)


def test_a_whole_request_passes(room: Room) -> None:
    request = pb.EstimateRequest(id=1, graph_json=b"{}")
    assert Assembler(room, 50).add(request) is request


def test_parts_become_one_request_with_the_settings_of_the_first(
    room: Room, used: list[float]
) -> None:
    file = Assembler(room, 50)
    first = part(3, b"ab")
    first.evaluator = "simulator"
    assert file.add(first) is None
    assert file.add(part(3, b"cd")) is None
    whole = file.add(part(3, b"e", more=False))
    assert whole == pb.EstimateRequest(id=3, tflite=b"abcde", evaluator="simulator")
    assert used == [2, 4, 5, 0]


def test_a_file_that_is_too_large_is_answered_and_the_next_one_passes(
    room: Room, used: list[float]
) -> None:
    file = Assembler(room, 10)
    assert file.add(part(1, b"x" * 8)) is None
    assert file.add(part(1, b"x" * 8)) is None
    answer = file.add(part(1, b"", more=False))
    assert isinstance(answer, pb.EstimateResponse)
    assert "at most 10 bytes" in answer.error.message
    assert used[-1] == 0
    assert file.add(part(2, b"y", more=False)) == part(2, b"y", more=False)


def test_all_files_together_are_bounded(room: Room, used: list[float]) -> None:
    files = [Assembler(room, 60) for _ in range(2)]
    files[0].add(part(1, b"x" * 60))
    with pytest.raises(TooManyParts):
        files[1].add(part(1, b"x" * 50))
    files[0].close()
    assert used[-1] == 0
    assert files[1].add(part(1, b"x" * 50)) is None


@pytest.mark.parametrize(
    "intruder", [part(2, b"x"), pb.EstimateRequest(id=1, graph_json=b"{}", more=True)]
)
def test_files_are_not_mixed(room: Room, intruder: pb.EstimateRequest) -> None:
    file = Assembler(room, 50)
    file.add(part(1, b"x"))
    with pytest.raises(PartOutOfPlace, match="File 1 is not complete"):
        file.add(intruder)


def test_only_files_come_in_parts(room: Room) -> None:
    with pytest.raises(PartOutOfPlace, match="Only a .tflite"):
        Assembler(room, 50).add(pb.EstimateRequest(id=1, graph_json=b"{", more=True))
