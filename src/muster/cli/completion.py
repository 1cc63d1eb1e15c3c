"""`muster completion`: what makes the shell complete commands, options and what they may be?"""

import re
from typing import Literal

from cyclopts import App

from muster.cli.console import put_data
from muster.cli.failure import OK

Shell = Literal["bash", "zsh", "fish"]

app = App(
    name="completion",
    help_format="plaintext",
    help_epilogue="""Examples, for you alone (once; then start a new shell):
  echo 'source <(muster completion bash)' >> ~/.bashrc
  echo 'source <(muster completion zsh)' >> ~/.zshrc  # behind compinit
  muster completion fish > ~/.config/fish/completions/muster.fish

For a package:
  muster completion bash > $DESTDIR/usr/share/bash-completion/completions/muster
  muster completion zsh > $DESTDIR/usr/share/zsh/site-functions/_muster
  muster completion fish \\
    > $DESTDIR/usr/share/fish/vendor_completions.d/muster.fish""",
)

_OF_ZSH = "_cyclopts_muster"
_FREE_ARGUMENT = re.compile(r"^(?P<spec> +'(?:\d+|\*):(?:[^:\\']|\\.|'\\'')+)'(?= \\$)", re.MULTILINE)
"""An argument that can be anything. Without an action, the nothing of `()`, zsh shows its sentence and then completes no option there."""
_FILES_OF_BASH = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
_NAMES_OF_FILES = 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "${cur}")'
"""As names of files, bash puts a slash and no blank behind a folder, and quotes what needs it; a name with a blank stays one."""
_LOAD_ZSH = """
if [[ ${funcstack[1]} == _muster ]]; then  # read from the fpath: this was the first call
  _muster "$@"
elif (( ${+functions[compdef]} )); then  # sourced
  compdef _muster muster
fi
"""


@app.default
def completion(shell: Shell, /) -> int:
    """Write the script that completes commands, options and their values in your shell. It asks no service.

    Args:
        shell: which one.
    """
    put_data(render_completion(shell).encode())
    return OK


def render_completion(shell: Shell) -> str:
    """The script."""
    from muster.cli.main import make_app  # which knows this module

    script = make_app().generate_completion(prog_name="muster", shell=shell)
    if shell == "bash":
        return script.replace(_FILES_OF_BASH, _NAMES_OF_FILES)
    if shell != "zsh":
        return script
    # Named as zsh's own functions are, and good to be sourced as well as to be put into the fpath.
    script = re.sub(rf"\b{_OF_ZSH}\b", "_muster", script).rstrip() + "\n" + _LOAD_ZSH
    return _FREE_ARGUMENT.sub(r"\g<spec>:()'", script)
