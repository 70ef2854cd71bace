"""`edgezoo cluster`: a trained network learns on while each kernel has few different weights."""

import argparse
from dataclasses import replace

from pipelines.cli import compress
from pipelines.cli.answer import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `cluster`."""
    compress.add_arguments(
        parser,
        recipe="cluster",
        kept="each output channel of a kernel keeps as few different weights",
    )
    parser.add_argument(
        "--clusters",
        metavar="N",
        type=int,
        help="different weights in each kernel, such as 16 (default: the recipe's); depthwise kernels stay as "
        "they are",
    )
    parser.add_argument(
        "--keep-zeros", action="store_true", help="zeros of a pruned network stay zeros"
    )


def run(args: argparse.Namespace) -> Answer:
    """Clusters, saves the preset, says what changed."""
    from pipelines.compress.methods import cluster
    from pipelines.train import load_recipe

    recipe = load_recipe(args.recipe)
    wanted = recipe.clustering
    if args.clusters is not None:
        wanted = replace(wanted, clusters=args.clusters)
    if args.keep_zeros:
        wanted = replace(wanted, keep_zeros=True)
    return compress.run(args, replace(recipe, clustering=wanted), cluster, "clusters")
