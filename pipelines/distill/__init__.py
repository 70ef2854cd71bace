"""Distillation: students that learn from a teacher's labels, features and layers."""

from pipelines.distill.settings import Distillation
from pipelines.distill.teachers import Teacher, teacher_of

__all__ = ["Distillation", "Teacher", "teacher_of"]
