"""`spiccato warm`: its options, and what it does."""

import typer

from spiccato.config import load
from spiccato.options import ModelOption


def warm(model: ModelOption = None) -> None:
    """Compile what the model needs now, so that the next start is quick.

    For the building of images. The result is kept in `NUMBA_CACHE_DIR`, or else beside the code.

    **Example**

    - `spiccato warm`
    """
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        typer.echo(f"{warmed(load(None, model=model).settings).id} is ready")
