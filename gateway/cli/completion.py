"""``gateway completion``: shell completion scripts."""

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from gateway.sdk.cli import Session, command

_SHELLS: Final = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
async def completion(session: Session, *, shell: str) -> None:
    """Print a completion script for your shell.

    To enable completion of commands and options:

    \b
    bash  put this line into ~/.bashrc:
            eval "$(gateway completion bash)"
    zsh   put this line into ~/.zshrc, below compinit:
            eval "$(gateway completion zsh)"
    fish  run this once:
            gateway completion fish > ~/.config/fish/completions/gateway.fish
    """  # noqa: D301 - click's mark for lines that must not be wrapped
    program = click.get_current_context().find_root().command
    script = _SHELLS[shell](program, {}, "gateway", "_GATEWAY_COMPLETE").source()
    session.line({"shell": shell, "script": script}, script)
