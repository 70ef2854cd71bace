"""int8 export: a trained Keras model as a `.tflite` file, with a certificate of what the file is and does."""

from pipelines.export.certificate import Certificate, certificate_path, load_certificate
from pipelines.export.compare import canonical, compare_with_file
from pipelines.export.detector import DetectorRunner, is_detector
from pipelines.export.export import evaluate_tflite, export_int8
from pipelines.export.postprocess import PostProcess
from pipelines.export.runner import FileRunner, Int8Runner

__all__ = [
    "Certificate", "DetectorRunner", "FileRunner", "Int8Runner", "PostProcess", "canonical", "certificate_path",
    "compare_with_file", "evaluate_tflite", "export_int8", "is_detector", "load_certificate",
]  # fmt: skip
