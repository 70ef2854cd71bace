"""From a Keras model to int8 `.tflite` bytes: traced at batch 1 with its weights as constants, then quantized."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from hw_model.errors import EdgeZooError, EnvironmentFault, UsageError
from pipelines.export.progress import Report
from pipelines.export.quiet import quiet

#: One call of the model: an array (1, ...) for each input.
Sample = list[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Converted:
    """The int8 file, and the float file it was quantized from."""

    int8: bytes
    float32: bytes


def require_tensorflow() -> None:
    """Refuses to go on where the converter cannot work.

    Raises:
        EnvironmentFault: TensorFlow is missing, or Keras runs on another backend.
    """
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise EnvironmentFault(
            "Export to .tflite needs the TensorFlow backend; save the weights, set "
            "KERAS_BACKEND=tensorflow and load them there (weights load across backends). "
            f"Received: KERAS_BACKEND={backend}"
        )
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            "Export to .tflite needs TensorFlow: pip install 'edgezoo[export]'"
        ) from error


def convert(model: Any, samples: Sequence[Sample], report: Report) -> Converted:
    """Post-training quantization with full-integer operators and weights per channel.

    Args:
        model: Keras model with fixed input sizes; only the batch may be open.
        samples: what the model is to be calibrated on, preprocessed.
        report: called with a stage name and the number of samples fed since the last call.

    Raises:
        EdgeZooError: TensorFlow cannot convert the model; its own words are attached as a note.
    """
    report("trace", 0)
    return convert_function(_trace(model), samples, report, name=model.name)


def convert_function(
    function: Any, samples: Sequence[Sample], report: Report, *, name: str
) -> Converted:
    """`convert` of a concrete function that holds its weights as constants; `name` is for errors."""
    with _converting(name, "int8"):
        return _convert(function, samples, report)


def convert_float(model: Any, report: Report) -> bytes:
    """The float file of a model, for what rounds it otherwise than the converter; raises as `convert` does."""
    import tensorflow as tf

    report("trace", 0)
    function = _trace(model)
    report("convert", 0)
    with _converting(model.name, "float32"):
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())


@contextmanager
def _converting(name: str, kind: str) -> Iterator[None]:
    """Silence, and one line where the converter fails."""
    with quiet():
        try:
            yield
        except EdgeZooError:
            raise
        except Exception as error:  # the converter raises whatever its native passes throw
            first = str(error).strip().partition("\n")[0][:300]
            problem = EdgeZooError(f"TensorFlow cannot convert {name!r} to {kind}: {first}")
            raise problem from error


def _trace(model: Any) -> Any:
    """A concrete function of the model at batch 1 that holds the weights as constants.

    Substituting constants while tracing gives the converter the same graph as
    `convert_variables_to_constants_v2` on a traced model would, in half the time.
    """
    import keras
    import tensorflow as tf

    weights = [(v, keras.ops.convert_to_numpy(v)) for v in model.variables]
    structure = model.input if isinstance(model.input, dict) else None

    def call(*inputs: Any) -> Any:
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        if structure is not None:
            given = dict(zip(structure, inputs, strict=True))
        with keras.StatelessScope(state_mapping=constants), _in_steps(model):
            outputs = model(given, training=False)
        return [outputs[key] for key in sorted(outputs)] if isinstance(outputs, dict) else outputs

    signature = [
        tf.TensorSpec((1, *fixed_shape(tensor)), tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    ]
    return tf.function(call, autograph=False).get_concrete_function(*signature)


@contextmanager
def _in_steps(model: Any) -> Iterator[None]:
    """Layers that have another form for int8 take it."""
    layers = [layer for layer in model.layers if hasattr(layer, "in_steps")]
    for layer in layers:
        layer.in_steps = True
    try:
        yield
    finally:
        for layer in layers:
            layer.in_steps = False


def fixed_shape(tensor: Any) -> tuple[int, ...]:
    """Shape of a model input without the batch.

    Raises:
        UsageError: a size is open.
    """
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise UsageError(
            f"Export needs fixed input sizes; create the model for one size. Received: {shape}"
        )
    return shape


def _convert(function: Any, samples: Sequence[Sample], report: Report) -> Converted:
    import tensorflow as tf

    def representative() -> Iterator[Sample]:
        report("calibrate", 0)
        for sample in samples:
            yield sample
            report("calibrate", 1)
        report("quantize", 0)

    report("convert", 0)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    floats = _keep_float_model(converter)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    int8 = bytes(converter.convert())
    if not floats:  # a converter without that stage: pay for a second conversion
        floats.append(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    return Converted(int8=int8, float32=bytes(floats[0]))


def _keep_float_model(converter: Any) -> list[bytes]:
    """Lets the converter keep the float file it makes on the way; the list fills while it converts."""
    kept: list[bytes] = []
    quantize = getattr(converter, "_optimize_tflite_model", None)
    if quantize is not None:

        def keep(model: bytes, *args: Any, **kwargs: Any) -> Any:
            kept.append(model)
            return quantize(model, *args, **kwargs)

        converter._optimize_tflite_model = keep
    return kept
