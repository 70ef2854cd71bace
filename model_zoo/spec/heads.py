"""Heads changed after the fact: other classes, dropout, activation or output, where a head has such a thing."""

from dataclasses import replace
from typing import Literal

from hw_model.errors import UsageError
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ClassifierActivation, ClassifierHead, Head
from model_zoo.spec.segmentation import BifpnHead, output_named


def change_head(
    head: Head,
    *,
    num_classes: int | None = None,
    dropout: float | None = None,
    activation: ClassifierActivation | Literal["published"] = "published",
) -> Head:
    """The head with what was given replaced.

    Raises:
        UsageError: something this kind of head does not have.
    """
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
                "classifier_activation belongs to classifiers; a segmentation network returns its `output`, a "
                f"detector logits. Received: {activation!r}"
            )
        head = replace(head, activation=activation)
    return head


def change_output(head: Head | None, output: str) -> Head:
    """The head with another output.

    Raises:
        UsageError: no segmentation head, or no such output.
    """
    if head is None or isinstance(head, ClassifierHead | SsdHead):
        raise UsageError(f"output belongs to segmentation networks. Received: output={output!r}")
    return replace(head, output=output_named(output))
