"""Where may a token travel?"""

import ssl
from pathlib import Path

import pytest

from muster.client.address import http_options, parse_address
from muster.domain.errors import InvalidError


@pytest.mark.parametrize(
    ("url", "wanted", "is_loopback"),
    [
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765", True),
        ("http://localhost:8765/", "http://localhost:8765", True),
        ("http://[::1]:8765", "http://[::1]:8765", True),
        ("https://muster.example.org", "https://muster.example.org", False),
        ("https://example.org/muster/", "https://example.org/muster", False),
        (" http://127.0.0.1:1\n", "http://127.0.0.1:1", True),
    ],
)
def test_addresses_that_are_fit(url: str, wanted: str, is_loopback: object) -> None:
    address = parse_address(url)

    assert (address.url, address.is_loopback) == (wanted, is_loopback)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:8765", "must look like"),
        ("ftp://example.org", "must look like"),
        ("http://", "must look like"),
        ("", "must look like"),
        ("http://example.org", "use https"),
        ("http://10.0.0.1:80", "use https"),
        ("http://localhost.example.org", "use https"),
        ("https://x:y@example.org", "no user name"),
        ("https://example.org/?token=x", "no user name"),
        ("http://127.0.0.1:99999", "99999"),
    ],
)
def test_addresses_that_are_not(url: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cret@example.org",
        "me:s3cret@example.org",
        "http://me:s3cret@127.0.0.1:99999",
        "x://me:s3@cret@h:p",
    ],
)
def test_a_password_in_the_address_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse_address(url)

    assert "s3" not in str(refused.value)


def test_no_proxy_stands_between_us_and_our_own_machine() -> None:
    near = http_options(parse_address("http://127.0.0.1:1"), None)
    far = http_options(parse_address("https://example.org"), None)

    assert (near["trust_env"], far["trust_env"]) == (False, True)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8765", "https://muster.example.org"])
def test_authorities_that_cannot_be_read_are_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))

    with pytest.raises(InvalidError) as refused:
        http_options(parse_address(url), None)

    [finding] = refused.value.findings
    assert finding.field == "SSL_CERT_FILE"
    assert "No such file" in finding.reason


def test_who_asks_by_plain_http_needs_no_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))

    trust = http_options(parse_address("http://127.0.0.1:8765"), None)["verify"]

    assert isinstance(trust, ssl.SSLContext)
    assert trust.get_ca_certs() == []
    assert trust.verify_mode is ssl.CERT_REQUIRED
