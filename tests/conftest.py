"""Which services can every test ask for?"""

from services.oidc import oidc_provider
from services.postgres import own_postgres, postgres_server, postgres_url

__all__ = ["oidc_provider", "own_postgres", "postgres_server", "postgres_url"]
