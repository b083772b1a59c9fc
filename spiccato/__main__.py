"""The launcher: finds where the packages are, puts that first on the module path, runs the command line.

In a wheel they lie in `spiccato/app`, so that an installation adds one name to the environment; in a checkout they
lie beside `spiccato`. First on the path, so that nobody else's `server` package is imported in place of ours.
"""

import sys
from pathlib import Path


def find_packages() -> None:
    here = Path(__file__).resolve().parent
    packages = here / "app"
    sys.path.insert(0, str(packages if packages.is_dir() else here.parent))


def main() -> None:
    find_packages()
    from spiccato.cli import run

    run()


if __name__ == "__main__":
    main()
