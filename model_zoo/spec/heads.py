"""Heads changed after the fact: other classes, dropout, activation or output, where a head has such a thing."""

from dataclasses import replace
from typing import Any, Literal, cast

from hw_model.errors import UnknownNameError, UsageError
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ClassifierActivation, ClassifierHead, Head
from model_zoo.spec.reading import Spec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead, output_named
from model_zoo.spec.text import MaskedLmHead, SentenceHead, SpanHead, TextHead

#: The heads language networks get by name.
TEXT_HEADS: dict[str, TextHead] = {
    "span": SpanHead(),
    "sentence": SentenceHead(),
    "masked_lm": MaskedLmHead(),
    "next_sentence": SentenceHead(units=512, dropout=0.0),
    "pretraining": MaskedLmHead(next_sentence=True),
}


def text_head(name: str, *, hidden: int) -> TextHead:
    """The head of this name for states of `hidden` channels.

    Raises:
        UnknownNameError: no such head; suggests near ones.
    """
    if name not in TEXT_HEADS:
        raise UnknownNameError("head", name, TEXT_HEADS)
    head = TEXT_HEADS[name]
    if isinstance(head, SentenceHead) and head.units is not None:
        return replace(head, units=hidden)
    return head


def replace_head(spec: Spec, head: Head | TextHead | None) -> Spec:
    """The spec with another head; raises `SpecError` where the two do not fit."""
    return replace(spec, head=cast(Any, head))


def change_head(
    head: Head | TextHead,
    *,
    num_classes: int | None = None,
    dropout: float | None = None,
    activation: ClassifierActivation | Literal["published"] = "published",
) -> Head | TextHead:
    """The head with what was given replaced.

    Raises:
        UsageError: something this kind of head does not have.
    """
    if isinstance(head, SpanHead | MaskedLmHead):
        if num_classes is None and dropout is None and activation == "published":
            return head
        raise UsageError(
            "A head for spans or masked words has no classes, dropout or activation; use head='sentence'"
        )
    if num_classes is not None:
        head = replace(head, num_classes=num_classes)
    if dropout is not None:
        if isinstance(head, BifpnHead):
            raise UsageError(
                f"A BiFPN head has no dropout; use drop_connect. Received: dropout={dropout}"
            )
        if isinstance(head, SsdHead):
            raise UsageError(f"An SSD head has no dropout. Received: dropout={dropout}")
        head = replace(head, dropout=dropout)
    if activation != "published":
        if not isinstance(head, ClassifierHead):
            raise UsageError(
                "classifier_activation belongs to classifiers of images; a segmentation network returns its "
                f"`output`, a detector or language network logits. Received: {activation!r}"
            )
        head = replace(head, activation=activation)
    return head


def change_output(head: Head | TextHead | None, output: str) -> Head:
    """The head with another output.

    Raises:
        UsageError: no segmentation head, or no such output.
    """
    if not isinstance(head, BifpnHead | DeepLabHead):
        raise UsageError(f"output belongs to segmentation networks. Received: output={output!r}")
    return replace(head, output=output_named(output))
