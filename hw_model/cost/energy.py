"""Energy of counted events: one price per event and target, and power that flows while time passes."""

from hw_model.cost.work import COMPONENTS, Events
from hw_model.targets.target import Target

#: All components, as the Coral chip's EnergyTable registers name them; `idle` is power times latency.
ENERGY_COMPONENTS: tuple[str, ...] = ("idle", *COMPONENTS)


def event_pj(target: Target, events: Events) -> tuple[float, ...]:
    """Picojoules of each component in the order of `COMPONENTS`."""
    return tuple(
        getattr(events, name) * float(getattr(target.energy, f"{name}_pj")) for name in COMPONENTS
    )


def idle_mj(target: Target, latency_ms: float) -> float:
    """Millijoules the chip draws for being on during one inference."""
    return target.energy.idle_w * latency_ms
