"""Which services can every test ask for?"""

from services.oidc import oidc_provider
from services.postgres import empty_postgres_url, migrated_postgres_url, own_postgres, postgres_server, postgres_url

__all__ = [
    "empty_postgres_url",
    "migrated_postgres_url",
    "oidc_provider",
    "own_postgres",
    "postgres_server",
    "postgres_url",
]
