"""Is this machine told from every other one?"""

import pytest

from muster.domain.loopback import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "issuer.localhost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.org", "127.0.0.1.org", "2130706433"]
)
def test_any_other_name(host: str) -> None:
    assert not is_loopback(host)
