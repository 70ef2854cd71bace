"""Runs inside ZigZag's own environment: cycles and energy of each layer of LAYERS.json, written as they come.

The hardware is the `edge_tpu_like` that ZigZag ships, with the array of the target (lanes x width x 4 x 4), its
two memories, wires as wide as that array needs at the shipped price per bit, and an off-chip link so wide that
it never limits: what is compared is the array on chip.
"""

import json
import logging
import os
import sys
from typing import Any


def hardware(shipped: dict[str, Any], array: dict[str, int]) -> dict[str, Any]:
    """The shipped description with another array."""
    macs = array["lanes"] * array["width"] * 16
    shipped["operational_array"]["sizes"] = [array["lanes"], array["width"], 4, 4]
    memories = shipped["memories"]
    memories["sram_2MB"]["size"] = array["activation_bytes"] * 8
    memories["sram_32KB"]["size"] = array["parameter_bytes"] * 8
    wider = {"sram_2MB": macs // 512, "sram_32KB": macs // 1024, "dram": macs * 8}
    for name, factor in wider.items():
        for port in memories[name]["ports"]:
            port["bandwidth_max"] *= max(factor, 1)
        if name != "dram":
            memories[name]["r_cost"] *= max(factor, 1)
            memories[name]["w_cost"] *= max(factor, 1)
    return shipped


def mapping(array: dict[str, int]) -> list[dict[str, Any]]:
    """Lanes take output channels, dot products input channels, the 4 x 4 tiles the map."""
    return [
        {
            "name": "default",
            "spatial_mapping": {
                "D1": [f"K, {array['lanes']}"],
                "D2": [f"C, {array['width']}"],
                "D3": ["OX, 4"],
                "D4": ["OY, 4"],
            },
            "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
        }
    ]


def workload(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """One layer in ZigZag's words."""
    groups, stride = layer["groups"], layer["stride"]
    sizes = (1, layer["cout"] // groups, groups, layer["ox"], layer["oy"])
    return [
        {
            "id": 0,
            "name": layer["name"],
            "operator_type": "Conv",
            "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
            "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
            "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
            "loop_sizes": [*sizes, layer["cin"] // groups, layer["fx"], layer["fy"]],
            "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
            "operand_source": {"W": 0, "I": 0},
        }
    ]


def main() -> None:
    """`zigzag_driver.py LAYERS.json OUT.json`, in a folder of its own."""
    import yaml
    import zigzag
    from zigzag.api import get_hardware_performance_zigzag

    with open(sys.argv[1], encoding="utf-8") as file:
        task = json.load(file)
    inputs = os.path.join(os.path.dirname(zigzag.__file__), "inputs", "hardware")
    with open(os.path.join(inputs, "edge_tpu_like.yaml"), encoding="utf-8") as file:
        shipped = yaml.safe_load(file)
    _dump("hw.yaml", hardware(shipped, task["array"]))
    _dump("map.yaml", mapping(task["array"]))
    logging.disable(logging.CRITICAL)
    found: dict[str, Any] = {}
    for layer in task["layers"]:
        _dump("layer.yaml", workload(layer))
        try:
            energy_pj, cycles, _ = get_hardware_performance_zigzag(
                "layer.yaml",
                "hw.yaml",
                "map.yaml",
                opt="latency",
                dump_folder="zigzag_out",
                lpf_limit=4,
                loma_show_progress_bar=False,
            )
            found[layer["name"]] = {"cycles": cycles, "energy_pj": energy_pj}
        except Exception as error:
            found[layer["name"]] = {"error": type(error).__name__}
        with open(sys.argv[2] + ".part", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(sys.argv[2] + ".part", sys.argv[2])


def _dump(path: str, value: Any) -> None:
    import yaml

    # ZigZag reads memories from the lowest up, in the order of the file.
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(value, file, sort_keys=False)


if __name__ == "__main__":
    main()
