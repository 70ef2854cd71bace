"""The one size all images of a data set have, or the error that asks for one."""

from collections.abc import Set

from hw_model.errors import DataError


class SizesDifferError(DataError):
    """Images of several sizes, and nobody said at which one they are to be read."""


def only_size(sizes: Set[tuple[int, int]], where: str, *, usual: int) -> tuple[int, int]:
    """The only (height, width) of `sizes`; `usual` is a side that networks for such data often have.

    Raises:
        SizesDifferError: there are several.
    """
    if len(sizes) > 1:
        raise SizesDifferError(
            f"Images{where} differ in size ({len(sizes)} sizes, e.g. {min(sizes)} and {max(sizes)}); give "
            f"image_size=(height, width), such as ({usual}, {usual}) (--image-size {usual})."
        )
    return next(iter(sizes))
