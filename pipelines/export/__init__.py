"""int8 export: a trained Keras model as a `.tflite` file, with a certificate of what the file is and does."""

from pipelines.export.certificate import Certificate, certificate_path, load_certificate
from pipelines.export.compare import canonical, compare_with_file
from pipelines.export.export import evaluate_tflite, export_int8
from pipelines.export.runner import Int8Runner

__all__ = [
    "Certificate", "Int8Runner", "canonical", "certificate_path", "compare_with_file", "evaluate_tflite",
    "export_int8", "load_certificate",
]  # fmt: skip
