"""Every registered architecture has exactly the parameters and multiply-adds of the published network."""

import json
from pathlib import Path
from typing import Any

import pytest

from hw_model.graph import GraphBuilder
from model_zoo.create import create_spec
from model_zoo.lowering import lower

PUBLISHED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "published_counts.json").read_text(encoding="utf-8")
)["rows"]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda r: f"{r['model']}-{r['num_classes']}")
def test_graph_counts_as_published(row: dict[str, Any]) -> None:
    graph = lower(create_spec(row["model"], num_classes=row["num_classes"]), GraphBuilder())
    counted = {
        "trainable": graph.trainable_count,
        "total": graph.param_count,
        "macs": graph.macs,
    }
    assert counted == {key: row[key] for key in counted}
