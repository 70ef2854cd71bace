"""Calibration: fits of the constants a target leaves open, to published latencies or to a user's own."""

from hw_model.calibrate.measured import Calibration, calibrate, read_measurements

__all__ = ["Calibration", "calibrate", "read_measurements"]
