"""Event ids: ULIDs, unique and sortable by the time they were made. Knows nothing of events.

Source: github.com/ulid/spec, 48 bits of milliseconds and 80 random bits in Crockford's base 32.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(utc_s: float) -> str:
    """A new id made at `utc_s`, seconds since 1970."""
    value = (int(utc_s * 1000) << 80) | secrets.randbits(80)
    return "".join(ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
