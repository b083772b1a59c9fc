"""The version of the installed service. Knows the package's metadata only."""

from importlib.metadata import PackageNotFoundError, version


def installed() -> str:
    try:
        return version("spiccato")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+checkout"


VERSION = installed()
