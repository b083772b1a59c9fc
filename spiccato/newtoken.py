"""`spiccato token`: a new token, printed or put into a file that only its owner reads. Knows nothing of the service."""

import os
import secrets
from pathlib import Path

from spiccato.trouble import fail

BYTES = 32  # of randomness: 43 characters


def run(role: str | None, file: Path | None) -> None:
    """Print a token; with `file`, append `ROLE TOKEN` to it as well, and create it where it is not there."""
    token = secrets.token_urlsafe(BYTES)
    if file is not None:
        try:
            opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(opened, "a+", encoding="utf-8", errors="replace") as lines:
                lines.seek(0)
                known = lines.read()
                if known and not known.endswith("\n"):  # as some editors leave it
                    lines.write("\n")
                lines.write(f"{role or 'admin'} {token}\n")
        except OSError as error:
            fail(f"{file} cannot be written: {(error.strerror or str(error)).lower()}")
        print(token)
    else:
        print(token if role is None else f"{role} {token}")
