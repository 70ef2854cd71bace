"""Counts parameters and multiply-adds of every family against the published networks. Writes results/parity.json."""

import json
from pathlib import Path

from record import Column, save

from hw_model.graph import GraphBuilder
from model_zoo.create import create_spec
from model_zoo.lowering import lower
from model_zoo.nn.model import ZooModel

PUBLISHED = Path(__file__).resolve().parent.parent / "tests/parity/published_counts.json"


def main() -> None:
    """One row per architecture: published, counted on the graph, counted on the Keras model."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    rows = []
    for row in published["rows"]:
        if row["num_classes"] == 1000:
            continue
        spec = create_spec(row["model"])
        graph = lower(spec, GraphBuilder())
        rows.append(
            {
                "model": row["model"],
                "published_params": row["total"],
                "graph_params": graph.param_count,
                "keras_params": ZooModel(spec).count_params(),
                "published_macs": row["macs"],
                "graph_macs": graph.macs,
            }
        )
        print(
            "{model:40} {graph_params:>12,} {keras_params:>12,} {graph_macs:>14,}".format(
                **rows[-1]
            )
        )
    exact = sum(
        row["published_params"] == row["graph_params"] == row["keras_params"]
        and row["published_macs"] == row["graph_macs"]
        for row in rows
    )
    save(
        "parity",
        command="python benchmarks/parity.py",
        columns=[
            Column(key="model", heading="Model"),
            Column(key="published_params", heading="Parameters, published", format=","),
            Column(key="graph_params", heading="graph", format=","),
            Column(key="keras_params", heading="Keras", format=","),
            Column(key="published_macs", heading="MACs, published", format=","),
            Column(key="graph_macs", heading="graph", format=","),
        ],
        rows=rows,
        notes=[
            "Published input size and classes (classification 1,001, segmentation 32 or 151, detection 90); "
            f"{exact} of {len(rows)} agree in every figure."
        ],
    )


if __name__ == "__main__":
    main()
