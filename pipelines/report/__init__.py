"""Self-contained HTML pages about studies, models and runs: inline SVG, no script, nothing loaded from anywhere.

Every figure comes from the study, certificate, report or run that a section is given.
"""

from pipelines.report.certificate import certificate_section
from pipelines.report.classify import classify_section
from pipelines.report.cost import cost_section
from pipelines.report.detect import detect_section
from pipelines.report.model import model_sections
from pipelines.report.page import Section, figures, write
from pipelines.report.segment import segment_section
from pipelines.report.study import pareto_section, study_sections
from pipelines.report.training import training_section

__all__ = [
    "Section", "certificate_section", "classify_section", "cost_section", "detect_section", "figures", "model_sections",
    "pareto_section", "segment_section", "study_sections", "training_section", "write",
]  # fmt: skip
