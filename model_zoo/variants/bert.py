"""MiniLM with six blocks, a BERT small enough to teach a MobileBERT on a CPU.

Source: Wang et al. 2020 (MiniLM); the encoder of the published all-MiniLM-L6-v2.
"""

from model_zoo.registry import register
from model_zoo.spec.text import SpanHead, TextEncoder, TextInput, TextSpec


def minilm() -> TextSpec:
    """MiniLM-L6-H384; the mask is far enough below any score to hide padding."""
    encoder = TextEncoder(
        blocks=6,
        bottleneck=None,
        intermediate=1536,
        ffns=1,
        heads=12,
        hidden=384,
        embedding=384,
        trigram=False,
        norm="layer_norm",
        activation="gelu",
        mask_value=-1e9,
    )
    return TextSpec(family="bert", input=TextInput(), encoder=encoder, head=SpanHead())


register("bert_minilm_l6_h384", minilm, task="answering")
