"""`muster worker …`: the file that travels to execution points."""

from pathlib import Path

from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.failure import OK

app = App(name="worker", help="Make the file that travels to execution points.", help_format="plaintext")
app.help_epilogue = "Example:\n  muster worker bundle muster-worker.pyz"


@app.command(help_epilogue="Example:\n  muster worker bundle muster-worker.pyz")
def bundle(path: Path, /, *, json: bool = False, debug: bool = False) -> int:
    """Write the worker as one file, that any Python from 3.9 on runs without installing anything.

    Args:
        path: where to write it.
        json: tell path and size as JSON.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    from muster.worker.bundle import build_bundle

    size_bytes = build_bundle(path)
    if json:
        put_json({"path": str(path), "size_bytes": size_bytes})
    else:
        put(str(path))
        say(f"{size_bytes} bytes; a site agent makes and starts it by itself")
    return OK
