"""Was it memory that an error tells of? Libraries say it in many ways, some of which say nothing."""

import errno
import re
from pathlib import Path

from visionport.progress import size_text

SAID = re.compile(r"failed to map segment|cannot allocate memory|bad_alloc|can't start new thread|\bOOM\b", re.I)
NEAR = 0.75  # of the address space that is allowed: an allocation that fails need not be a small one


def is_short(error: BaseException) -> bool:
    """Whether memory did not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return bool(SAID.search(str(error))) or is_near_limit()


def in_words() -> str:
    limit = allowed()
    may = f": this process may take {size_text(limit)} (`ulimit -v`)" if limit else ""
    return f"there is not enough memory{may}. Allow more, or take a smaller batch, picture or model."


def is_near_limit() -> bool:
    """Whether most of the address space that the process may take is taken."""
    limit = allowed()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        import resource

        return bool(limit) and pages * resource.getpagesize() > NEAR * limit
    except (ImportError, OSError, ValueError, IndexError):  # not on Linux
        return False


def allowed() -> int:
    """Bytes of address space that the process may take; 0 for any."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return 0 if limit == resource.RLIM_INFINITY else limit
