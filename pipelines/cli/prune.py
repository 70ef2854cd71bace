"""`edgezoo prune`: a trained network learns on while a share of its weights becomes zero."""

import argparse
from dataclasses import replace

from pipelines.cli import compress
from pipelines.cli.answer import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `prune`."""
    compress.add_arguments(parser, recipe="prune", kept="zeros stay zeros")
    parser.add_argument(
        "--sparsity",
        metavar="F",
        type=float,
        help="share of zeros in each kernel, such as 0.5 (default: the recipe's); depthwise kernels stay whole",
    )


def run(args: argparse.Namespace) -> Answer:
    """Prunes, saves the preset, says what changed."""
    from pipelines.compress.methods import prune
    from pipelines.train import load_recipe

    recipe = load_recipe(args.recipe)
    if args.sparsity is not None:
        recipe = replace(recipe, pruning=replace(recipe.pruning, sparsity=args.sparsity))
    return compress.run(args, recipe, prune, "zeros")
