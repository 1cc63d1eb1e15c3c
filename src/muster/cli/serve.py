"""`muster serve`: the service as a process of its own."""

import os

import anyio
from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.entry import put_off_garbage
from muster.cli.extras import needing
from muster.cli.failure import OK
from muster.cli.settings_faults import list_remarks, named_as_variables, read_settings_at_start
from muster.cli.supervisor import Supervisor
from muster.settings.parts import ServerSettings
from muster.settings.sign_in import SignIn

app = App(
    name="serve",
    help_format="plaintext",
    help_epilogue="""Examples:
  MUSTER_PORT=8765 muster serve
  MUSTER_DATABASE_URL=postgresql://muster@db:5432/muster muster serve --json""",
)


@app.default
def serve(*, json: bool = False, debug: bool = False) -> int:
    """Answer REST and run the daemons, until SIGTERM. Settings are read from MUSTER_… (`muster settings serve` shows them).

    Args:
        json: write the address as JSON once it answers.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    put_off_garbage()
    with needing("server"):
        from muster.cli.logs import log_to_stderr
        from muster.server.app import serve as serve_service
    settings = read_settings_at_start(ServerSettings)
    for remark in list_remarks(ServerSettings):
        say(f"mind: {remark}")

    supervisor = Supervisor(os.environ)

    def tell(url: str) -> None:
        supervisor.tell_ready(f"answers at {url}")
        file = str(settings.token_file) if settings.way_in is SignIn.LOCAL else None
        if json:
            put_json({"url": url, "token_file": file, "sign_in": settings.way_in}, in_one_line=True)
        else:
            put(url)
            say(f"the service answers at {url}; {render_sign_in(settings)}")

    log_to_stderr(settings.log_level)
    with named_as_variables(ServerSettings):
        anyio.run(
            supervisor.attend,
            lambda: serve_service(settings, on_ready=tell, on_stopping=supervisor.tell_stopping),
            backend_options={"use_uvloop": True},
        )
    return OK


def render_sign_in(settings: ServerSettings) -> str:
    """How callers sign in, in words."""
    match settings.way_in:
        case SignIn.LOCAL:
            return f"token: {settings.token_file}"
        case SignIn.OIDC:
            return f"sign-in: tokens of {', '.join(one.url for one in settings.all_issuers())}"
        case SignIn.OFF:
            return "SIGN-IN IS OFF: whoever reaches it may do everything (MUSTER_SIGN_IN)"
