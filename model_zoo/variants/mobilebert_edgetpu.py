"""MobileBERT-EdgeTPU XXS, XS, S and M, the MobileBERT they are compared with and the IB-BERT they learn from.

Source: TensorFlow Model Garden, official/projects/edgetpu/nlp; Akin et al. 2022, section 5.4; Sun et al. 2020.
All answer questions over 384 word pieces, as their published figures do.
"""

from functools import partial

from model_zoo.registry import register
from model_zoo.spec.text import SpanHead, TextEncoder, TextInput, TextSpec

# name: (blocks, bottleneck, feed-forward channels, feed-forward networks)
ROWS: dict[str, tuple[int, int, int, int]] = {
    "mobilebert_edgetpu_xxs": (6, 128, 1024, 2),
    "mobilebert_edgetpu_xs": (8, 256, 1024, 4),
    "mobilebert_edgetpu_s": (12, 256, 1024, 4),
    "mobilebert_edgetpu_m": (12, 256, 1024, 6),
    "mobilebert_baseline": (24, 128, 512, 4),
}


def spec(name: str) -> TextSpec:
    """A published student; `name` is one of `ROWS`."""
    blocks, bottleneck, intermediate, ffns = ROWS[name]
    encoder = TextEncoder(
        blocks=blocks,
        bottleneck=bottleneck,
        intermediate=intermediate,
        ffns=ffns,
        projected_logits=name == "mobilebert_edgetpu_xxs",
    )
    return TextSpec(input=TextInput(), encoder=encoder, head=SpanHead())


def teacher() -> TextSpec:
    """IB-BERT large; its mask is that of a stock softmax."""
    encoder = TextEncoder(
        blocks=24,
        bottleneck=1024,
        intermediate=4096,
        ffns=1,
        norm="layer_norm",
        activation="gelu",
        shared_key_query=False,
        mask_value=-1e9,
    )
    return TextSpec(input=TextInput(), encoder=encoder, head=SpanHead())


for _name in ROWS:
    register(_name, partial(spec, _name), task="answering")
register("ib_bert_large", teacher, task="answering")
