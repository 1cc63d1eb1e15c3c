"""Which services can every test ask for, and what of their log stands in a report?"""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from services.apptainer import apptainer, image
from services.bubblewrap import bubblewrap
from services.condor import condor, own_condor, shared_condor
from services.faketime import faketime
from services.oidc import oidc_provider
from services.podman import podman, podman_image
from services.postgres import empty_postgres_url, migrated_postgres_url, own_postgres, postgres_server, postgres_url
from services.registry import registry
from services.sqlite import migrated_sqlite, sqlite_url

# How long an example takes says something of the machine, and nothing of us. (Under `CI` hypothesis' own profile has the same.)
settings.register_profile("muster", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("muster")

__all__ = [
    "apptainer",
    "bubblewrap",
    "condor",
    "empty_postgres_url",
    "faketime",
    "image",
    "migrated_postgres_url",
    "migrated_sqlite",
    "oidc_provider",
    "own_condor",
    "own_postgres",
    "podman",
    "podman_image",
    "postgres_server",
    "postgres_url",
    "registry",
    "shared_condor",
    "sqlite_url",
]


@pytest.fixture(scope="session", autouse=True)
def only_trouble_is_logged() -> Iterator[None]:
    """Services in our own process write a line a request, and more: a failure's report would drown in them. Who captures logs has all."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop_all_but_trouble, *before["processors"]])
    yield
    structlog.configure(**before)


def _drop_all_but_trouble(_logger: Any, method: str, entry: Any) -> Any:
    if method in {"debug", "info"}:
        raise structlog.DropEvent
    return entry
