"""Examples of a prepared tfds split, still encoded: in memory where they fit, else read at random."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hw_model.errors import DataError

# Encoded examples of a set that cannot be read at random are kept in memory, up to this much.
_MEMORY_BYTES = 4 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """`at(index)[key]` is the encoded picture, or what else was asked for.

    `first` are those looked at already, all where they fit.
    """

    first: Sequence[dict[str, Any]]
    labels: list[int]
    count: int
    where: str
    stored: Any = None

    def at(self, index: int) -> dict[str, Any]:
        """The pictures of one example, by feature."""
        found: dict[str, Any] = (
            self.first[index] if self.stored is None else self.stored[int(index)]
        )
        return found

    def name(self, index: int) -> str:
        """What to call the example in an error."""
        return f"{self.where} example {index}"


def read_examples(
    tfds: Any,
    builder: Any,
    split: str,
    picture_keys: Sequence[str],
    label_key: str | None = None,
    *,
    also: Sequence[str] = (),
) -> Examples:
    """The examples of `split`: the pictures under `picture_keys`, and their classes where asked for.

    Features of the keys `also` are kept beside the pictures, decoded.
    """
    info = builder.info.splits[split]
    formats = {item.value for item in builder.info.available_file_formats()}
    decoders = {key: tfds.decode.SkipDecoding() for key in picture_keys}
    fits = info.num_bytes <= _MEMORY_BYTES
    source: Any
    if "array_record" in formats:
        source = builder.as_data_source(split=split, decoders=decoders)
    elif fits:
        source = tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders))
    else:
        raise DataError(
            f"tfds data set {builder.name!r} is stored as {sorted(formats)}, which cannot be read at "
            "random, and is too large for memory; prepare it with file_format=array_record."
        )
    first: list[dict[str, Any]] = []
    labels: list[int] = []
    for example in _progress(source, f"{builder.name}/{split}", info):
        if label_key is not None:
            labels.append(int(example[label_key]))
        # Of a set too large for memory only the first example is kept, to learn what it looks like.
        if fits or not first:
            first.append({key: example[key] for key in (*picture_keys, *also)})
        if not fits and label_key is None:
            break
    return Examples(
        first=first,
        labels=labels,
        count=info.num_examples,
        where=f"{builder.data_dir} {split}",
        stored=None if fits else source,
    )


def _progress(examples: Iterable[Any], name: str, info: Any) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(
        examples, desc=name, total=info.num_examples, unit="image", delay=2, disable=None
    )
    return bar
