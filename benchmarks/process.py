"""One process, measured alone: seconds, processor time, memory, what it printed; stopped at a limit."""

import math
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a process ended and what it took; children included."""

    code: int | None
    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str

    @property
    def ended(self) -> str:
        """In a word."""
        return "timed out" if self.code is None else "ok" if self.code == 0 else "failed"


def run(command: Sequence[object], limit_s: float, cwd: Path) -> Ran:
    """Runs a process to its end or its limit of processor time, and measures it alone."""
    started = time.monotonic()
    with (cwd / "output.txt").open("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Processor time, so that a busy machine gives the same answer; waiting has a limit too.
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (math.ceil(limit_s),) * 2)
        pid = 0
        while not pid:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if not pid and time.monotonic() - started > 8 * limit_s:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    return Ran(
        code=process.returncode if process.returncode >= 0 else None,
        wall_s=time.monotonic() - started,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
        output=text,
    )
