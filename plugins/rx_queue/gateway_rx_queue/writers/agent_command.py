"""``gateway rx agent``: the reference agent, for the machine beside the pharmacy system."""

import logging
import os
import shlex
import sys
from pathlib import Path

import click

from gateway.plugin import AddressGuard, InvalidInput, OutboundClient, Session, SystemClock, command
from gateway_rx_queue.writers.agent import Agent, AgentSettings, carry_out

KEY_VARIABLE = "GATEWAY_API_KEY"
_ANYWHERE = ("0.0.0.0/0", "::/0")


def agent_command() -> click.Command:
    """Return the command."""

    @command("agent")
    @click.option("--url", required=True, help="Where the gateway is: https://gateway.example.com.")
    @click.option(
        "--key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"A file with the API key.  [default: the environment's {KEY_VARIABLE}]",
    )
    @click.option("--command", "words", required=True, help="The program to run for each job.")
    @click.option(
        "--slots",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        help="How many at a time.",
    )
    @click.option(
        "--lease-seconds", type=click.FloatRange(1, 3600), help="How long a job may take."
    )
    @click.option("--once", is_flag=True, help="End when no job is due.")
    async def agent(
        session: Session,
        *,
        url: str,
        key_file: Path | None,
        words: str,
        slots: int,
        lease_seconds: float | None,
        once: bool,
    ) -> None:
        """Take jobs from a gateway and run a command for each, with JSON on its stdin.

        It needs no gateway.toml. Exit code 0 of the command means completed, or the outcome in
        its JSON on stdout; any other code is retried.
        """
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
        key = _key(key_file)
        argv = _split(words)
        if not argv:
            raise InvalidInput("--command is empty: name the program that writes a job.")
        settings = AgentSettings(url, key, argv, slots, lease_seconds)
        clock = SystemClock()
        # The address is the operator's own: private networks are allowed.
        guard = AddressGuard.of(allow_http=True, allow_networks=_ANYWHERE)
        async with OutboundClient(clock, guard) as client:
            made = Agent(settings, client, clock)
            await carry_out(made, once=once)
        session.record({"done": made.done})

    return agent


def _split(words: str) -> list[str]:
    """Split a command as a shell would; on Windows a backslash separates folders."""
    lexer = shlex.shlex(words, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if sys.platform == "win32":
        lexer.escape, lexer.quotes = "", '"'
    try:
        return list(lexer)
    except ValueError:  # no closing quotation
        raise InvalidInput("--command has a quotation mark too few: close each one.") from None


def _key(key_file: Path | None) -> str:
    """Read the key from a file or the environment, which other users can't see."""
    key = key_file.read_text(encoding="utf-8") if key_file else os.environ.get(KEY_VARIABLE, "")
    if not key.strip():
        raise InvalidInput(f"No API key: name a --key-file, or set {KEY_VARIABLE}.")
    return key.strip()
