"""The generated code that is committed is what cost.proto says."""

import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("cost_pb2.py", "cost_pb2.pyi", "cost_pb2_grpc.py")


def test_committed_code_is_what_the_proto_generates(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is needed to generate it again")
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I.",
        *out,
        "hw_model/service/cost.proto",
    ]
    subprocess.run(command, cwd=root, check=True)
    for name in NAMES:
        generated = (tmp_path / "hw_model" / "service" / name).read_text(encoding="utf-8")
        committed = (root / "hw_model" / "service" / name).read_text(encoding="utf-8")
        assert generated == committed, f"{name} is out of date; run: make proto"
