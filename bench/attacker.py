"""One who attacks without end: reads a job from stdin, says when it has begun, ends with stdin.

A process of its own with the least priority: a stranger's machine isn't the gateway's, so
that its work must not count as the gateway's slowness. It calls from an address of its own
and, where it needs a key, with one of the gateway's.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any, Final

from loops import run

SOURCE: Final = "127.0.0.66"
_PAUSE_SECONDS: Final = 0.5
_PIECE: Final = b"x" * 16_384
# The least that a spreadsheet program takes for a workbook (ECMA-376, part 1).
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_KIND: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_KIND}.sharedStrings+xml"/>'
    "</Types>",
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="A" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    "</Relationships>",
}


class Attacker:
    """Attacks the gateway on ``port``; ``counted`` says how often."""

    def __init__(self, port: int, key: str) -> None:
        self.counted = 0
        self._port = port
        self._key = key
        self._spreadsheet = spreadsheet_of_many_texts()

    def ways(self) -> dict[str, tuple[int, Callable[[], Awaitable[None]]]]:
        """Return how to attack: how many at a time, and what each does again and again."""
        return {
            "idle connections": (500, self.hold_open),
            "slow heads": (300, self.drip),
            "headers without end": (8, self.pour_headers),
            "bodies without end": (150, self.stop_in_body),
            "wrong keys": (64, self.guess),
            "bodies that aren't taken": (8, self.send_unwanted_body),
            "spreadsheets of many texts": (6, self.upload_shared_strings),
            # The last one: what was uploaded is read on when the attacker is gone.
            "blank spreadsheets": (8, self.upload_blank_lines),
        }

    async def hold_open(self) -> None:
        """Connect, and send nothing."""
        async with self._connection() as (reader, _):
            await reader.read()

    async def drip(self) -> None:
        """Send a byte of a header now and then."""
        async with self._connection() as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def pour_headers(self) -> None:
        """Send a header that doesn't end."""
        async with self._connection() as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nX-Large: ")
            while True:
                writer.write(_PIECE)
                await writer.drain()

    async def stop_in_body(self) -> None:
        """Announce a large body, and stop after its beginning."""
        async with self._connection() as (reader, writer):
            writer.write(
                b"POST /api/webhook/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
            )
            writer.write(_PIECE)
            await writer.drain()
            await reader.read()

    async def guess(self) -> None:
        """Try keys, on one connection."""
        async with self._connection() as (reader, writer):
            while True:
                await self._ask(reader, writer, f"sk_live_{os.urandom(24).hex()}")

    async def upload_blank_lines(self) -> None:
        """Upload a file of 8 MB that is nothing but line ends, with a key that is good."""
        await self._upload("blank.csv", b"patient_name,patient_address\n" + b"\n" * 8_000_000)

    async def upload_shared_strings(self) -> None:
        """Upload a small spreadsheet that is large when it is read, with a key that is good."""
        await self._upload("strings.xlsx", self._spreadsheet)

    async def send_unwanted_body(self) -> None:
        """Send 8 MB as what isn't taken there."""
        await self._post("text/csv", b"\n" * 8_000_000)

    async def _upload(self, name: str, content: bytes) -> None:
        part = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        await self._post(
            "multipart/form-data; boundary=b", part.encode() + content + b"\r\n--b--\r\n"
        )

    async def _post(self, media_type: str, body: bytes) -> None:
        head = (
            f"POST /api/packages/import HTTP/1.1\r\nHost: x\r\nX-API-Key: {self._key}\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with self._connection() as (reader, writer):
            writer.write(head.encode() + body)
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> None:
        request = f"GET /api/packages HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        self.counted += 1

    @contextlib.asynccontextmanager
    async def _connection(self) -> Any:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(SOURCE, 0)
        )
        self.counted += 1
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def spreadsheet_of_many_texts() -> bytes:
    """Make an .xlsx of a few hundred kilobytes whose texts take a hundred times as much."""
    sheet = zipfile.ZipFile(content := io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    with sheet:
        for name, text in _PARTS.items():
            sheet.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
        cell = f"<si><t>{'x' * 60}</t></si>"
        sheet.writestr("xl/sharedStrings.xml", f'<sst xmlns="{_MAIN}">{cell * 400_000}</sst>')
        rows = "".join(
            f'<row r="{row}"><c r="A{row}" t="s"><v>{row}</v></c></row>' for row in range(1, 20_000)
        )
        sheet.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>',
        )
    return content.getvalue()


async def again_and_again(attack: Callable[[], Awaitable[None]]) -> None:
    """Attack, and when the gateway hangs up, attack again."""
    while True:
        with contextlib.suppress(OSError, EOFError):
            await attack()
        await asyncio.sleep(0.05)


async def main() -> None:
    """Do the job until standard input ends."""
    if hasattr(os, "nice"):
        os.nice(19)
    job = json.loads(await asyncio.to_thread(sys.stdin.readline))
    attacker = Attacker(job["port"], job["key"])
    number, attack = attacker.ways()[job["way"]]
    attacking = [asyncio.create_task(again_and_again(attack)) for _ in range(number)]
    while not attacker.counted:  # noqa: ASYNC110 - the machine may have other things to do
        await asyncio.sleep(0.05)
    await asyncio.sleep(_PAUSE_SECONDS)
    print(json.dumps({"begun": attacker.counted}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in attacking:
        each.cancel()
    await asyncio.gather(*attacking, return_exceptions=True)


if __name__ == "__main__":
    run(main())
