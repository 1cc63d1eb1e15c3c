"""Who asks, where nobody signs in? Everybody is the same caller, to whom everything belongs.

Only ever on this machine: settings and the composition root refuse any other address.
"""

from muster.domain.caller import Caller, Role

ANYBODY = Caller("anybody", frozenset(Role), issuer="off")


class NoSignIn:
    """One caller with every role, whatever the token."""

    async def identify(self, token: str) -> Caller:
        """Never refuses."""
        del token
        return ANYBODY

    async def refresh(self) -> None:
        """Nothing changes."""
