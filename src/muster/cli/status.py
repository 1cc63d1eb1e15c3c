"""`muster status`: does the service answer, and who am I to it?"""

from cyclopts import App

from muster.cli.console import put_fields, put_json
from muster.cli.failure import OK
from muster.cli.service import HERE, Service, connect

app = App(
    name="status",
    help_format="plaintext",
    help_epilogue="Examples:\n  muster status\n  muster status --url https://muster.example.org --json",
)


@app.default
def status(*, service: Service = HERE) -> int:
    """Show the service's address, whether it is ready, and who you are to it."""
    with connect(service) as client:
        health = client.get_readiness()
        me = client.whoami()
    fields = {
        "url": client.url,
        "status": health.status,
        "version": health.version,
        "you": me.name,
        "roles": me.roles,
        "groups": me.groups,
    }
    if service.json:
        put_json(fields)
    else:
        put_fields(fields.items())
    return OK
