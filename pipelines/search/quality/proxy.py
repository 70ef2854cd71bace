"""Quality by a declared proxy: numbers that cost nothing and are never passed off as accuracy."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.search.problem import Candidate
from pipelines.search.quality.base import Outcome, Quality, QualityStatement
from pipelines.search.ranking import rank_correlation
from pipelines.search.trial import Trial

#: What a cost report tells about a network, as something to make large.
PROXIES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "log_macs": lambda summary: math.log10(summary["macs"]),
    "log_params": lambda summary: math.log10(summary["parameter_bytes"]),
    "log_macs_params": lambda summary: (
        math.log10(summary["macs"]) + math.log10(summary["parameter_bytes"])
    ),
    "depth": lambda summary: float(summary["blocks"]),
}


class ProxyQuality:
    """A proxy read from the cost report; how well it ranks is measured on trained trials, if there are any."""

    kind = "proxy"
    batch_limit = 1 << 20

    def __init__(self, proxy: str, trained: Sequence[Trial] = ()) -> None:
        """`trained` are trials of the same space whose quality came from training.

        Raises:
            UnknownNameError: no such proxy.
        """
        if proxy not in PROXIES:
            raise UnknownNameError("proxy", proxy, PROXIES)
        self.name = proxy
        self._trained = tuple(trained)

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        """One number per candidate."""
        return [Quality(value=self._value(c.cost.summary)) for c in candidates]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        """Rank correlation with training, over trials given at the start and any among `trials`."""
        trained = [t for t in (*self._trained, *trials) if t.quality_kind == "train"]
        pairs = [(self._value(t.cost.summary), t.quality) for t in trained if t.quality is not None]
        return QualityStatement(
            kind=self.kind,
            name=self.name,
            measured_on=f"{len(pairs)} trained trials" if pairs else "nothing: no trained trials",
            correlation=rank_correlation(
                [proxy for proxy, _ in pairs],
                [quality for _, quality in pairs],
                against="trained quality",
            ),
        )

    def _value(self, summary: Mapping[str, Any]) -> float:
        try:
            return PROXIES[self.name](summary)
        except KeyError as error:
            raise UsageError(
                f"Proxy {self.name} needs {error} in the cost summary, which this problem does not give"
            ) from error
