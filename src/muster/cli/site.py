"""`muster site`: the agent beside a pool as a process of its own; what would keep it from its work, and how it stands."""

import os

import anyio
from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.extras import needing
from muster.cli.failure import FAILED, OK
from muster.cli.settings_faults import named_as_variables, read_settings_at_start
from muster.cli.site_status import status
from muster.cli.supervisor import Supervisor
from muster.domain.errors import InvalidError
from muster.settings.parts import SiteSettings

app = App(
    name="site",
    help_format="plaintext",
    help_epilogue="""Examples:
  MUSTER_SITE_URL=http://127.0.0.1:8765 \\
    MUSTER_SITE_TOKEN_FILE=.muster/token muster site
  MUSTER_SITE_LOCATIONS=local muster site --stop-workers
  muster site doctor
  muster site status""",
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

    supervisor = Supervisor(os.environ)

    def tell() -> None:
        supervisor.tell_ready(f"asks {settings.url} for the orders of {', '.join(settings.locations)}")
        say(f"the agent {settings.name} asks {settings.url} for the orders of {', '.join(settings.locations)}")

    with named_as_variables(SiteSettings):
        anyio.run(
            supervisor.attend,
            lambda: run_agent(settings, on_ready=tell, stop_workers=stop_workers, on_stopping=supervisor.tell_stopping),
        )
    return OK


app.command(status, help_epilogue="Examples:\n  muster site status\n  muster site status --json")
app.command(site, name="run", help_epilogue="Example:\n  muster site run --stop-workers")


@app.command(help_epilogue="Examples:\n  muster site doctor\n  MUSTER_SITE_POOL=htcondor muster site doctor --json")
def doctor(*, json: bool = False, debug: bool = False) -> int:
    """See what would keep the agent from its work: its folder, its token, the service, clocks, limits, and the pool that it stands beside.

    Each with what was found and, where that does not do, the setting or command that mends it. The agent's own settings count
    (MUSTER_SITE_…). It need not run, and nothing is changed. The exit status is 1 if there are errors.

    Args:
        json: tell the checks as JSON.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    with needing("site"):
        from muster.cli.logs import log_to_stderr
        from muster.site.doctor.examine import examine, render
        from muster.site.ports.checks import Verdict, fault
    log_to_stderr("error")  # what is warned of is told by the checks
    try:
        settings = read_settings_at_start(SiteSettings)
    except InvalidError as error:
        checks = [
            fault("settings", str(one), "`muster settings site` shows every setting and where it is from")
            for one in error.findings
        ]
    else:
        checks = [*anyio.run(examine, settings)]
    if json:
        put_json({"checks": [one.as_fields() for one in checks]})
    else:
        put(render(checks))
    return FAILED if any(one.verdict is Verdict.ERROR for one in checks) else OK
