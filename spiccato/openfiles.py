"""How many files, connections among them, this process may have open: raised as far as this user may."""

from server.settings import Settings

FILES_BESIDE = 64  # open files that are no connections


def needed(settings: Settings) -> int:
    """By the service within its limits, in one process."""
    return settings.max_sessions + 2 * settings.max_uploads + FILES_BESIDE


def for_service(settings: Settings) -> int:
    """Ask for what the service needs; returns what is allowed."""
    return open_files(needed(settings))


def open_files(wanted: int) -> int:
    """Ask for `wanted`; returns what is allowed now, which may be less, or more."""
    try:
        import resource
    except ImportError:  # a system without such a limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max(soft, wanted)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
