"""One server for all tests of a process, and what tests ask it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("grpc_health", reason="the extra `service` is not installed")

# Worker processes import the readers of `service_toy` by this name too.
sys.path.insert(0, str(Path(__file__).parent))

from service_toy import reader

from hw_model.service import CostClient, CostServer, ServerSettings
from hw_model.service.settings import MIB


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CostServer]:
    """A server with one worker, a cache, metrics and small limits."""
    settings = ServerSettings(
        port=0,
        workers=1,
        spec_reader=reader,
        cache_path=tmp_path_factory.mktemp("service") / "costs.sqlite3",
        metrics_port=0,
        max_message_bytes=MIB,
        max_file_bytes=8 * MIB,
        max_calls=16,
        max_batch=64,
        item_timeout_s=20.0,
    )
    with CostServer(settings) as running:
        yield running


@pytest.fixture
def client(server: CostServer) -> Iterator[CostClient]:
    """A client of that server."""
    with CostClient([server.address], timeout_s=60) as connected:
        yield connected
