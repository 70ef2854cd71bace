"""A web server of a few files for tests, with the faults that real ones have."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What is served, how, and which ranges were asked for (None: the whole)."""

    files: dict[str, bytes]
    ranges: bool = True
    #: Bytes of the body after which each answer in turn breaks off.
    breaks: list[int] = field(default_factory=list)
    status: int = 200
    says_length: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(files: dict[str, bytes], **faults: Any) -> Iterator[FileServer]:
    """Runs a server on a free port until the block ends."""
    state = FileServer(files, **faults)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FileServer

    def do_GET(self) -> None:
        state, asked = self.state, self.headers["Range"]
        state.asked.append(asked)
        content = state.files.get(self.path.lstrip("/").partition("?")[0])
        if content is None or state.status != 200:
            self.send_error(state.status if content is not None else 404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
        if start >= len(content) > 0 and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if state.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: state.breaks.pop(0)] if state.breaks else body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
