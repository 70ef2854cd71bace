"""The array types a search passes around: genotypes are (N, genes) int64, costs are (N, quantities) float64."""

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
JsonObject = dict[str, Any]
