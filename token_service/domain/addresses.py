"""Network addresses as attempts and calls are counted by them."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=4_096)
def counted_network(address: str) -> str:
    """What one host at `address` is counted by: an IPv6 host has a whole /64 to call from. A text
    that is no address counts as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return parsed.packed[:8].hex()
    return address
