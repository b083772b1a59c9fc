"""What was heard before: the history in a database, clips of sound, corrections. Knows messages, rows and files."""


class HistoryError(Exception):
    """The history cannot be used as the settings say; the message names the value without its password."""
