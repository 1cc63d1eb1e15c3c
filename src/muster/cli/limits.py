"""`muster limits`: how much may be in use at once, and how much is?"""

from cyclopts import App

from muster.cli.console import put_json, put_table, say
from muster.cli.failure import OK
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.service import Limits

app = App(
    name="limits",
    help_format="plaintext",
    help_epilogue="""Examples:
  muster limits
  muster limits --json

Of each owner's limit it shows what you use; what all use is shown to operators.

Which limit a workflow waits for, and who has what it waits for:
  muster workflow explain latest""",
)


@app.default
def limits(*, service: Service = HERE) -> int:
    """Show the limits that the service has, and how much of each is in use."""
    with connect(service) as client:
        found = client.get_limits()
    if service.json:
        put_json(found)
    else:
        put_limits(found)
    return OK


def put_limits(found: Limits) -> None:
    """Write them as a table."""
    put_table(
        ("what", "of", "in use", "at most", "set by"),
        [
            (
                one.what,
                found.owner if one.whose == "owner" else "all together",
                one.in_use,
                "any number" if one.at_most is None else one.at_most,
                one.setting,
            )
            for one in found.limits
        ],
    )
    if any(one.in_use is None for one in found.limits):
        say("how much all together use is shown to operators")
