"""Listing what there is: architectures and presets, filtered by name, task, family and cost."""

import fnmatch

from hw_model.errors import UsageError
from model_zoo import presets, registry
from model_zoo.spec.reading import Spec


def list_models(
    pattern: str = "*",
    *,
    task: str | None = None,
    family: str | None = None,
    pretrained: bool = False,
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    target: str | None = None,
) -> list[str]:
    """Names of architectures, or with `pretrained` of presets, that match a shell-style pattern.

    `max_latency_ms` and `max_energy_mj` keep what costs no more than that for one inference on `target`.

    >>> list_models("mobilenet_edgetpu_v2_?")
    ['mobilenet_edgetpu_v2_s', 'mobilenet_edgetpu_v2_m', 'mobilenet_edgetpu_v2_l']

    Raises:
        UsageError: a limit without a target.
        UnknownNameError: unknown target.
    """
    if pretrained:
        found = {
            name: presets.spec_of(name)
            for name in presets.names()
            if fnmatch.fnmatchcase(name, pattern) and task in (None, presets.get(name).task)
        }
    else:
        found = {name: registry.spec_of(name) for name in registry.match(pattern, task=task)}
    if family is not None:
        found = {name: spec for name, spec in found.items() if spec.family == family}
    if max_latency_ms is None and max_energy_mj is None:
        return list(found)
    if target is None:
        raise UsageError("A latency or energy limit needs a target, such as target='pixel6'")
    return [
        name
        for name, spec in found.items()
        if _affordable(spec, target, max_latency_ms, max_energy_mj)
    ]


def _affordable(
    spec: Spec, target: str, max_latency_ms: float | None, max_energy_mj: float | None
) -> bool:
    from hw_model import estimate

    report = estimate(spec, target=target)
    return (max_latency_ms is None or report.latency_ms <= max_latency_ms) and (
        max_energy_mj is None or report.energy_mj <= max_energy_mj
    )
