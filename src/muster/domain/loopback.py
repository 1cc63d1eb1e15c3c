"""Does a host name this machine itself, so that nobody in between can listen?"""

import ipaddress


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1, and the names that are kept for them (RFC 6761). Names are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
