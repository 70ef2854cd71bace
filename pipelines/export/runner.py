"""Runs `.tflite` files on float images, many at a time, through LiteRT."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, EnvironmentFault, UsageError
from hw_model.io import read_header
from pipelines.export.quiet import quiet

Floats = npt.NDArray[np.float32]


def make_interpreter(content: bytes, *, preserve: bool = False, threads: int = 1) -> Any:
    """A LiteRT interpreter with its tensors allocated; `preserve` keeps every intermediate tensor.

    Raises:
        EnvironmentFault: LiteRT is not installed.
        DataError: LiteRT refuses the file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise EnvironmentFault(
            "Running .tflite files needs LiteRT: pip install 'edgezoo[export]'"
        ) from error
    options: dict[str, Any] = {"num_threads": threads}
    if preserve:
        # Delegates compute several operators at once and keep nothing in between.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options |= {
            "experimental_preserve_all_tensors": True,
            "experimental_op_resolver_type": plain,
        }
    try:
        with quiet():
            interpreter = Interpreter(model_content=content, **options)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"LiteRT cannot run the file: {first}") from error
    return interpreter


class Port:
    """An input or output of an interpreter: converts between real and stored values."""

    def __init__(self, details: dict[str, Any]) -> None:
        self.index = int(details["index"])
        self.shape = tuple(int(size) for size in details["shape"])
        self.dtype = np.dtype(details["dtype"])
        scales = details["quantization_parameters"]["scales"]
        zeros = details["quantization_parameters"]["zero_points"]
        self.scale = float(scales[0]) if len(scales) else 0.0
        self.zero_point = int(zeros[0]) if len(zeros) else 0

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest real value a file can store here."""
        if not self.scale:
            return -np.inf, np.inf
        limits = np.iinfo(self.dtype)
        return tuple((limit - self.zero_point) * self.scale for limit in (limits.min, limits.max))  # type: ignore[return-value]

    def store(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Real values as the file stores them, rounded and clipped."""
        real = np.asarray(values, np.float32)
        if not self.scale:
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        stored = np.rint(real / np.float32(self.scale)) + self.zero_point
        return np.clip(stored, limits.min, limits.max).astype(self.dtype)

    def real(self, stored: npt.NDArray[Any]) -> Floats:
        """Stored values as real ones."""
        if not self.scale:
            return stored.astype(np.float32)
        steps = stored.astype(np.int32) - self.zero_point
        return steps.astype(np.float32) * np.float32(self.scale)


class FileRunner:
    """A `.tflite` file, called on batches; it answers with every output by name. `answers` takes float images.

    The file runs at batch 1; a batch is spread over `workers` interpreters, each with its own thread.
    """

    #: What errors call one of a batch.
    EXAMPLE: ClassVar[str] = "image"

    def __init__(self, path: str | os.PathLike[str], *, workers: int | None = None) -> None:
        self._names = self._output_names(path)
        content = Path(path).read_bytes()
        count = workers or min(4, os.cpu_count() or 1)
        self._interpreters = [make_interpreter(content) for _ in range(count)]
        self._ports = [Port(details) for details in self._interpreters[0].get_input_details()]
        self.input = self._ports[0]
        ports = [Port(details) for details in self._interpreters[0].get_output_details()]
        self.outputs = dict(zip(self._names, ports, strict=True))
        self._pool = ThreadPoolExecutor(count)

    def _output_names(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        """A name for each output, in the file's order; raises `UsageError` for a file of another kind."""
        header = read_header(path)  # LiteRT itself may crash on a truncated file
        if len(header.inputs) != 1 or not header.outputs:
            raise UsageError(
                f"{path}: only files with one input and an output can be run on images. "
                f"Received: {len(header.inputs)} inputs, {len(header.outputs)} outputs"
            )
        names = tuple(port.name for port in header.outputs)
        if len(set(names)) < len(names):
            raise UsageError(f"{path}: outputs must differ in their names. Received: {names}")
        return names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def answers(self, images: npt.ArrayLike) -> dict[str, Floats]:
        """Real outputs (N, ...) by name for preprocessed float images (N, H, W, C)."""
        batch = np.asarray(images)
        if batch.shape[1:] != self.input.shape[1:]:
            raise UsageError(
                f"The file takes images of shape {self.input.shape[1:]}. Received: {batch.shape}"
            )
        stored = self._run(self.input.store(batch))
        return {name: port.real(stored[name]) for name, port in self.outputs.items()}

    def _run(self, *stored: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Stored outputs by name for what is stored in each of the inputs."""
        count = len(stored[0])
        found = {
            name: np.empty((count, *port.shape[1:]), port.dtype)
            for name, port in self.outputs.items()
        }
        shares = np.array_split(np.arange(count), len(self._interpreters))

        def work(interpreter: Any, share: npt.NDArray[np.int64]) -> None:
            for position in share:
                for port, values in zip(self._ports, stored, strict=True):
                    interpreter.set_tensor(port.index, values[position : position + 1])
                try:
                    interpreter.invoke()
                except RuntimeError as error:  # some operators look at their types only now
                    first = str(error).partition("\n")[0]
                    raise DataError(
                        f"LiteRT cannot run the file on {self.EXAMPLE} {position}: {first}"
                    ) from error
                for name, port in self.outputs.items():
                    found[name][position] = interpreter.get_tensor(port.index)[0]

        list(self._pool.map(work, self._interpreters, shares))
        return found


class Int8Runner(FileRunner):
    """A `.tflite` file with one input and one output, called on batches of float images."""

    def _output_names(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        header = read_header(path)
        if len(header.inputs) != 1 or len(header.outputs) != 1:
            raise UsageError(
                f"{path}: only files with one input and one output can be run on images. "
                f"Received: {len(header.inputs)} inputs, {len(header.outputs)} outputs"
            )
        return ("output",)

    @property
    def output(self) -> Port:
        """The one output."""
        return self.outputs["output"]

    def __call__(self, images: npt.ArrayLike) -> Floats:
        """Real outputs (N, ...) for preprocessed float images (N, H, W, C)."""
        return self.answers(images)["output"]

    def run_stored(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored outputs for stored inputs."""
        return self._run(stored)["output"]
