"""Calibration against published latencies: the data, the fit of declared scales, and agreement figures."""
