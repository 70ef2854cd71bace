"""Runs inside SCALE-Sim's own environment: cycles of each layer of LAYERS.json, written as they come.

The array is square with as many multipliers as the target's, weight-stationary, with the target's memory sizes. A
grouped or depthwise layer is one of its groups, times their number: that is how SCALE-Sim runs them too.
"""

import json
import os
import sys
from typing import Any

CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight = {side}
ArrayWidth = {side}
IfmapSramSzkB = {half}
FilterSramSzkB = {parameters}
OfmapSramSzkB = {half}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 1024
Dataflow = ws
ReadRequestBuffer = 512
WriteRequestBuffer = 512
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 64
IfmapSRAMBankNum = 16
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 64
FilterSRAMBankNum = 16
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = USER
UseRamulatorTrace = False
"""


def topology(layer: dict[str, Any]) -> str:
    """One group of a layer; the map is given padded, since SCALE-Sim pads nothing."""
    groups, stride = layer["groups"], layer["stride"]
    high = (layer["oy"] - 1) * stride + layer["fy"]
    wide = (layer["ox"] - 1) * stride + layer["fx"]
    cells = (high, wide, layer["fy"], layer["fx"], layer["cin"] // groups, layer["cout"] // groups)
    head = "Layer,H,W,FH,FW,C,N,S,Sparsity,\n"
    return head + f"layer,{','.join(map(str, cells))},{stride},1:1,\n"


def cycles(layer: dict[str, Any]) -> float:
    """Cycles of all groups, prefetch left out."""
    from scalesim.scale_sim import scalesim

    with open("topology.csv", "w", encoding="utf-8") as file:
        file.write(topology(layer))
    simulation = scalesim(
        save_disk_space=True,
        verbose=False,
        config="scale.cfg",
        topology="topology.csv",
        layout="layout.csv",
    )
    simulation.run_scale(top_path="scale_out")
    items = simulation.runner.single_layer_sim_object_list[0].get_compute_report_items()
    return float(items[1]) * int(layer["groups"])


def main() -> None:
    """`scalesim_driver.py LAYERS.json OUT.json`, in a folder of its own."""
    with open(sys.argv[1], encoding="utf-8") as file:
        task = json.load(file)
    array = task["array"]
    side = round((array["lanes"] * array["width"] * 16) ** 0.5)
    sizes = {
        "half": array["activation_bytes"] // 2048,
        "parameters": array["parameter_bytes"] // 1024,
    }
    with open("scale.cfg", "w", encoding="utf-8") as file:
        file.write(CONFIG.format(side=side, **sizes))
    with open("layout.csv", "w", encoding="utf-8") as file:
        file.write("Layer,\n" + "layer," + "1," * 20 + "\n")
    os.makedirs("scale_out", exist_ok=True)
    found: dict[str, Any] = {}
    for layer in task["layers"]:
        try:
            found[layer["name"]] = {"cycles": cycles(layer)}
        except Exception as error:
            found[layer["name"]] = {"error": type(error).__name__}
        with open(sys.argv[2] + ".part", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(sys.argv[2] + ".part", sys.argv[2])


if __name__ == "__main__":
    main()
