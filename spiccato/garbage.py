"""Python's garbage collection in a process that serves. Knows nothing of what is served."""

import gc

# Collections of the youngest objects before one of the middle ones, and of these before a full one. A full one stops
# everything: 0.2 s where 500 sessions are heard, and by Python's own measure it came each second (docs/decisions.md).
YOUNG, MIDDLE, FULL = 700, 10, 1_000


def settled() -> None:
    """What is there from the start is no garbage and is not looked at again; the rest is, seldom, as a whole."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)
