"""``bentoml``, with a folder of its own for its workers' metrics: ``python -m bentos.supervisor FOLDER serve …``.

BentoML keeps them in its home and empties that at every start, so that a second server of the same home would wipe out
what the first has counted.
"""

from __future__ import annotations

import sys

from bentos.connections.open_files import raise_limit


def main() -> None:
    """See the module."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml_cli.cli import cli

    raise_limit()
    folder = sys.argv.pop(1)
    BentoMLContainer.prometheus_multiproc_dir.set(folder)
    cli()


if __name__ == "__main__":
    main()
