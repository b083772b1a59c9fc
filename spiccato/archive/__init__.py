"""`spiccato archive`: any number of files to Parquet, on this machine's cores or a Ray cluster's; resumed after a kill.

`run.py` is the command, `listing.py` which files there are, `work.py` the work on one, `local.py` and `cluster.py`
where it is done, `results.py` what is kept.
"""


class ArchiveError(Exception):
    """The command cannot go on: a sentence that names what has to be mended."""
