"""`muster serve`: the service as a process of its own."""

import anyio
from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.extras import needing
from muster.cli.failure import OK
from muster.cli.settings_faults import named_as_variables, read_settings
from muster.settings import ServerSettings

app = App(
    name="serve",
    help_format="plaintext",
    help_epilogue="""Examples:
  MUSTER_PORT=8765 muster serve
  MUSTER_DATABASE_URL=postgresql://muster@db:5432/muster muster serve --json""",
)


@app.default
def serve(*, json: bool = False, debug: bool = False) -> int:
    """Answer REST and run the daemons, until SIGTERM. Settings are read from MUSTER_… (docs/reference/cli.md lists them).

    Args:
        json: write the address as JSON once it answers.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    with needing("server"):
        from muster.cli.logs import log_to_stderr
        from muster.server.app import serve as serve_service
    settings = read_settings(ServerSettings, prefix="MUSTER_")

    def tell(url: str) -> None:
        if json:
            put_json({"url": url, "token_file": str(settings.token_file)}, in_one_line=True)
        else:
            put(url)
            say(f"the service answers at {url}; token: {settings.token_file}")

    log_to_stderr(settings.log_level)
    with named_as_variables(ServerSettings, prefix="MUSTER_"):
        anyio.run(lambda: serve_service(settings, on_ready=tell), backend_options={"use_uvloop": True})
    return OK
