"""The classification head: top convolution, pooling, dropout, classifier."""

from typing import TypeVar

from hw_model.graph import Builder
from model_zoo.spec.image import ClassifierHead

H = TypeVar("H")
R = TypeVar("R")


def lower_classifier(head: ClassifierHead, b: Builder[H, R], x: H) -> H:
    """Scores or probabilities (N, num_classes) from the last feature map."""
    x = b.conv(x, head.top_filters, 1, name="top_conv2d")
    x = b.batch_norm(x, name="top_bn")
    x = b.activation(x, "relu", name="top_activation")
    if head.form == "dense":
        x = b.global_pool(x, name="top_pool")
        x = b.dropout(x, head.dropout, name="top_dropout")
        x = b.dense(x, head.num_classes, name="logits")
        return _activate(head, b, x)
    x = b.average_pool_all(x, name="top_pool")
    x = b.dropout(x, head.dropout, name="top_dropout")
    x = b.conv(x, head.num_classes, 1, bias=True, name="logits")
    x = _activate(head, b, x)
    return b.reshape(x, (b.shape(x)[0], head.num_classes), name="squeeze")


def _activate(head: ClassifierHead, b: Builder[H, R], x: H) -> H:
    if head.activation is None:
        return x
    if head.activation == "softmax":
        return b.softmax(x, name="probs")
    return b.activation(x, head.activation, name="probs")
