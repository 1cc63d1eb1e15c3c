"""What can be set of the broker that people's programs use? Its address, what its tokens say, and the keys that sign them.

The settings of the service (`muster.settings.parts`) take these in. Those that upstream's queue service knows can be set by its
variables too (`muster.settings.upstream_variables`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from muster.domain.errors import Finding, InvalidError
from muster.domain.masking import mask_address
from muster.domain.queue_token import Broker, join_issuer, limit_ttl
from muster.settings.variables import FromVariables

PREFIX = "MUSTER_"
_ADDRESS = re.compile(r"(?!\w+://)[^\s@/?#]+(/[^\s@?#]*)?")
_USER = re.compile(r"[^\s@]+")


class BrokerSettings(FromVariables):
    """The broker of a service."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    broker_url: str | None = Field(default=None)
    """Where people's programs find the broker: `host`, `host:port` or `host:port/vhost`; without it queues are reached over REST alone."""

    broker_type: str = Field(default="rabbitmq")
    """What kind of broker it is, as its clients call it."""

    broker_user: str = Field(default="user")
    """Name with which programs log in to the broker; their password is the queue's token."""

    broker_public_key_file: Path | None = Field(default=None)
    """File with the RSA key (PEM) by which the broker verifies tokens; it may be exchanged while the service runs."""

    broker_private_key_file: Path | None = Field(default=None)
    """File with the RSA key (PEM, not encrypted) that signs tokens; it may be exchanged while the service runs."""

    broker_token_ttl_s: float = Field(default=86_400.0, ge=0)
    """Seconds that a queue's token is good for; 0, and more than 366 days, mean 366 days."""

    broker_token_renew_share: float = Field(default=0.5, ge=0, le=1)
    """A token with less than this share of its life left is renewed when its profile is read."""

    broker_resource_server_id: str = Field(default="")
    """What the broker calls itself (`auth_oauth2.resource_server_id`): tokens are made out to it."""

    broker_resource_server_type: str = Field(default="")
    """What kind of resource the broker calls itself (`auth_oauth2.resource_server_type`): rights in tokens are of this type."""

    public_url: str | None = Field(default=None)
    """Address at which others reach this service; queue tokens name it as their issuer."""

    @property
    def key_files(self) -> tuple[Path, Path] | None:
        """Of the public and the private key; None where not both are named."""
        if self.broker_public_key_file is None or self.broker_private_key_file is None:
            return None
        return self.broker_public_key_file, self.broker_private_key_file

    def read_broker(self) -> Broker | None:
        """The broker as the domain knows it; None where none is set. Raises InvalidError, naming everything that it lacks."""
        if not self.broker_url:
            return None
        if findings := list(self._judge()):
            raise InvalidError(findings)
        return Broker(
            kind=self.broker_type,
            address=self.broker_url,
            user=self.broker_user,
            resource_server_id=self.broker_resource_server_id,
            resource_server_type=self.broker_resource_server_type,
            issuer=join_issuer(self.public_url or ""),
            ttl_s=limit_ttl(self.broker_token_ttl_s),
            renew_share=self.broker_token_renew_share,
        )

    def _judge(self) -> Iterator[Finding]:
        if _ADDRESS.fullmatch(self.broker_url or "") is None:
            remedy = "write host, host:port or host:port/vhost, without a scheme and a user"
            yield Finding("broker_url", f"is {mask_address(self.broker_url or '')!r}; {remedy}")
        if _USER.fullmatch(self.broker_user) is None:
            yield Finding(
                "broker_user", f"is {mask_address(self.broker_user)!r}; write a name without blanks and without @"
            )
        for field in ("broker_public_key_file", "broker_private_key_file"):
            if getattr(self, field) is None:
                yield Finding(field, "is not set, and a broker is: name the PEM file (docs/how-to/queue-tokens.md)")
        if not _is_web_address(self.public_url):
            remedy = "write the address at which the broker reaches this service, like https://muster.example.org"
            given = None if self.public_url is None else mask_address(self.public_url)
            yield Finding("public_url", f"is {given!r}, and a broker is set; {remedy}")


def _is_web_address(text: str | None) -> bool:
    try:
        parts = urlsplit(text or "")
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
