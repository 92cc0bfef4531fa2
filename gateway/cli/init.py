"""``gateway init``: write an annotated gateway.toml."""

import shlex
import subprocess
import sys
from pathlib import Path

import click

from gateway.cli.opening import DEFAULT_FILE
from gateway.errors import ConfigurationError
from gateway.sdk.cli import Session, command


@command("init")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
async def init(session: Session, directory: Path | None) -> None:
    """Write an annotated gateway.toml.

    It is written to DIR, the current folder, or the path of --config. An existing file is
    never overwritten.
    """
    if directory is not None and session.config is not None:
        raise click.UsageError("Name a DIR or a --config file, not both.")
    path = (session.config or (directory or Path()) / DEFAULT_FILE).absolute()
    from gateway.installed_plugins.discovery import default_configuration

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(default_configuration())
    except FileExistsError as error:
        raise ConfigurationError(_not_written(path)) from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be written ({error.strerror}): choose a folder you may write to."
        ) from error
    session.line({"file": str(path)}, f"Wrote {path}")
    session.say("Look through it, then:")
    for line in _next_steps(session.config, directory):
        session.say(f"  {line}")


def _next_steps(config: Path | None, directory: Path | None) -> list[str]:
    option = "" if config is None else f" --config {_quoted(config)}"
    return [
        *([] if directory is None else [f"cd {_quoted(directory)}"]),
        f"gateway check{option}",
        f'gateway keys create --name "my first key"{option}',
        f"gateway serve{option}",
    ]


def _quoted(path: Path) -> str:
    """Quote a path for the system's shell; cmd.exe knows double quotes only."""
    if sys.platform == "win32":
        return subprocess.list2cmdline([str(path)])
    return shlex.quote(str(path))


def _not_written(path: Path) -> str:
    if path.exists():
        return f"{path} exists already and stays as it is: edit it, or choose another folder."
    return f"{path} can't be written: its folder is a file."
