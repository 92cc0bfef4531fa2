"""``gateway labels …``: read a picture without storing it, try a bar code's pattern."""

import asyncio
import io
from typing import Any, BinaryIO, Final

import click
import msgspec

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    GatewayError,
    Session,
    SystemClock,
    command,
    reveal_option,
)
from gateway_labels.codes import pattern_of, readings
from gateway_labels.fields.draft import Reading, draft_of, fields_of
from gateway_labels.label_reader import need_extra, new_sandbox, read_label
from gateway_labels.quality import verdict_of
from gateway_labels.service import MAX_PICTURE_BYTES
from gateway_labels.settings import LabelsSettings

_COLUMNS: Final = ("field", "value", "confidence", "sources", "alternatives")


def labels_group(settings: LabelsSettings) -> click.Group:
    """Return ``gateway labels``."""

    @click.group("labels")
    def labels() -> None:
        """Read printed labels."""

    labels.add_command(_scan(settings))
    labels.add_command(_code_of(settings))
    return labels


def _scan(settings: LabelsSettings) -> click.Command:
    @command("scan")
    @click.argument("file", type=click.File("rb"))
    @click.option("--country", help="How phone numbers and dates are read, such as CA or US.")
    @click.option("--account", default=DEFAULT_ACCOUNT, show_default=True)
    @reveal_option
    async def scan(
        session: Session, *, file: BinaryIO, country: str | None, account: str, reveal: bool
    ) -> None:
        """Read a picture of a label and print its fields; stores and orders nothing."""
        need_extra()
        if not reveal:
            raise GatewayError("A label names a patient: say --reveal. Nothing of it is kept.")
        content = file.read(MAX_PICTURE_BYTES + 1)
        if not 0 < len(content) <= MAX_PICTURE_BYTES:
            raise GatewayError("The picture is empty, or larger than 8 MB.")
        sandbox = new_sandbox(settings.reading_seconds, in_background=False)
        try:
            scanned = await asyncio.to_thread(read_label, sandbox, io.BytesIO(content))
        finally:
            sandbox.close()
        where = country or await _country(session, account)
        today = SystemClock().now().date()
        reading = Reading(settings.patterns(), where, today, settings.keep_drug)
        fields = fields_of(scanned.lines, scanned.codes, reading)
        quality = verdict_of(scanned.quality, scanned.lines)
        if session.as_json:
            session.record(
                {
                    "quality": msgspec.to_builtins(quality),
                    "fields": msgspec.to_builtins(fields),
                    "codes": [_code(each) for each in scanned.codes],
                    "draft": draft_of(fields, None),
                }
            )
            return
        session.table(_COLUMNS, [_row(each) for each in fields])
        for each in scanned.codes:
            session.say(f"code {each['format']}: {each['text']}")
        if quality.advice is not None:
            session.say(quality.advice)

    return scan


def _code_of(settings: LabelsSettings) -> click.Command:
    @command("code")
    @click.argument("text")
    @click.option("--pattern", help='Try this one, such as "{rx:7}{store:4}".')
    async def code(session: Session, *, text: str, pattern: str | None) -> None:
        """Show how the patterns of [plugins.labels] read the bar code TEXT."""
        try:
            patterns = settings.patterns() if pattern is None else (pattern_of(pattern),)
        except ValueError as error:
            raise GatewayError(f"The pattern can't be used: {error}.") from None
        found = readings(text, patterns)
        rows = [{"pattern": each.pattern, **each.parts} for each in found]
        names = list(dict.fromkeys(name for row in rows for name in row))
        session.table(names or ["pattern"], rows)
        if len(found) > 1 and not session.as_json:
            session.say("Several fit: a code counts where the text on the label agrees.")

    return code


async def _country(session: Session, account: str) -> str:
    async with session.gateway() as gateway:
        sites = [each for each in gateway.settings.sites if each.account == account]
    return str(sites[0].country) if sites else "US"


def _row(field: Any) -> dict[str, Any]:
    return {
        "field": field.name,
        "value": field.value,
        "confidence": field.confidence,
        "sources": field.sources,
        "alternatives": ", ".join(field.alternatives),
    }


def _code(found: dict[str, Any]) -> dict[str, Any]:
    return {"format": found["format"], "text": found["text"]}
