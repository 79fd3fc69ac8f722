"""How many files this process may open, and whether that is enough for its connections."""

import logging
import resource

log = logging.getLogger(__name__)

DESCRIPTORS_PER_CONNECTION = 3  # its socket, and while it transfers the payload's file and a copy of the socket's
OWN_DESCRIPTORS = 64  # catalogue, logs, event loop: 20 to 30 are open in an idle daemon


def raise_descriptor_limit() -> int:
    """This process may open as many files as it is let, which is returned.

    The soft limit is 1024 nearly everywhere, because of select(2), which nothing here uses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox that does not let us
            hard = soft
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def warn_of_few_descriptors(descriptors: int, max_connections: int) -> None:
    wanted = max_connections * DESCRIPTORS_PER_CONNECTION + OWN_DESCRIPTORS
    if descriptors < wanted:
        log.warning(
            "too few file descriptors for [limits] max_connections; raise LimitNOFILE or lower it limit=%d wanted=%d",
            descriptors,
            wanted,
        )
