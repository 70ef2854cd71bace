"""`python -m pipelines.cli` is `edgezoo`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
