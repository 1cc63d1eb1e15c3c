"""`muster site`: the agent beside a pool as a process of its own."""

import anyio
from cyclopts import App

from muster.cli.console import say
from muster.cli.extras import needing
from muster.cli.failure import OK
from muster.cli.settings_faults import named_as_variables, read_settings_at_start
from muster.settings.parts import SiteSettings

app = App(
    name="site",
    help_format="plaintext",
    help_epilogue="""Examples:
  MUSTER_SITE_URL=http://127.0.0.1:8765 \\
    MUSTER_SITE_TOKEN_FILE=.muster/token muster site
  MUSTER_SITE_LOCATIONS=local muster site --stop-workers""",
)


@app.default
def site(*, stop_workers: bool = False, debug: bool = False) -> int:
    """Start, watch and stop workers, until SIGTERM. Settings are read from MUSTER_SITE_… (`muster settings site` shows them).

    Without --stop-workers the workers go on when the agent ends, and the next agent takes them over.

    Args:
        stop_workers: end the workers with the agent.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    with needing("site"):
        from muster.cli.logs import log_to_stderr
        from muster.site.app import run_agent
    settings = read_settings_at_start(SiteSettings)
    log_to_stderr(settings.log_level)

    def tell() -> None:
        say(f"the agent {settings.name} asks {settings.url} for the orders of {', '.join(settings.locations)}")

    with named_as_variables(SiteSettings):
        anyio.run(lambda: run_agent(settings, on_ready=tell, stop_workers=stop_workers))
    return OK
