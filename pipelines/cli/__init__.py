"""The command line `edgezoo`: one module per verb, imported when the verb is used."""

from pipelines.cli.app import main

__all__ = ["main"]
