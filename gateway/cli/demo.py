"""``gateway demo``: see it work, or look around in a filled gateway."""

import click

from gateway.sdk.cli import Session, command


@command("demo")
@click.option(
    "--keep", is_flag=True, help="Fill a gateway with a made-up day, and serve it until Ctrl-C."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="With --keep.  [default: a free one]"
)
async def demo(session: Session, *, keep: bool, port: int) -> None:
    """Play an order through: it comes in, signed webhooks go out, one is retried.

    Everything happens on this machine, in a temporary folder. The exit code is 0 only if
    every step succeeded.

    With --keep, a gateway with a day of two pharmacies is served instead: it prints an address
    and a one-time code, and Ctrl-C ends it and removes everything.
    """
    if keep:
        from gateway.demo.kept import keep_demo

        await keep_demo(session, port)
        return
    from gateway.demo.story import play_story

    play_story(session)
