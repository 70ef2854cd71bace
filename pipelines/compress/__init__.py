"""Pruning, clustering and quantization-aware training by TensorFlow's model optimization, for every image network.

`methods` and `quantize` do it; recipes read `settings`, so nothing heavy is imported here.
"""

from pipelines.compress.settings import Clustering, Pruning

__all__ = ["Clustering", "Pruning"]
