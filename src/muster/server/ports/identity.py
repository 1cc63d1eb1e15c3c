"""What does the server need of identity? A caller for a token."""

from typing import Protocol

from muster.domain.caller import Caller


class Identity(Protocol):
    """Checks tokens."""

    async def identify(self, token: str) -> Caller:
        """Who holds the token. Raises UnauthenticatedError for a token that is not good now, UnavailableError when that cannot be
        told.
        """

    async def refresh(self) -> None:
        """Bring up to date what tokens are checked with. Called at the start, and now and then; raises nothing."""
