"""What do the tests of signing in stand on? An issuer, and an identity that takes its tokens."""

from collections.abc import AsyncIterator, Iterator

import pytest

from muster.server.adapters.oidc.identity import OidcIdentity, open_oidc
from muster.settings.sign_in import IssuerSettings
from server.oidc.issuer import FakeIssuer, run_issuer


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with run_issuer() as issuer:
        yield issuer


@pytest.fixture
async def identity(issuer: FakeIssuer) -> AsyncIterator[OidcIdentity]:
    async with open_oidc([IssuerSettings(url=issuer.url, audience="muster")], reread_s=0.01) as identity:
        yield identity
