"""Files as they turn up, and how they are sent. Nothing here knows pytest."""

import io
import uuid
from collections.abc import Sequence
from typing import Any, Final

import httpx
import openpyxl

PLUGINS: Final = "[plugins.json_api]\n[plugins.csv]\n[limits]\nreads_per_minute = 100000\n"
IMPORT: Final = "/api/packages/import"
# The page that this format is from has it so, to the letter.
SEED: Final = """\
patient_name,patient_address,patient_phone,rx_number,copay_amount,priority,delivery_date,notes
Maria Rodriguez,"123 Main St, Miami, FL 33178",+13055551234,RX-8872341,12.50,routine,2026-04-20,\
"Leave with doorman"
Alex Kim,"450 Collins Ave, Miami Beach, FL 33139",+13055559876,RX-8872589,0.00,urgent,2026-04-20,
"""


def multipart(file: bytes | str, **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body and its headers."""
    content = file.encode() if isinstance(file, str) else file
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="orders.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    )
    body = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class Sender:
    """Sends files to a gateway with one key."""

    def __init__(self, gateway: Any, key: str) -> None:
        self.gateway = gateway
        self.key = key

    async def post(self, file: bytes | str, query: str = "", **fields: str) -> httpx.Response:
        """Upload a file; returns the answer whatever it is."""
        body, headers = multipart(file, **fields)
        return await self.gateway.post(IMPORT + query, self.key, body, headers)

    async def send(self, file: bytes | str, query: str = "", **fields: str) -> dict[str, Any]:
        """Upload a file that must be taken; returns the report."""
        answer = await self.post(file, query, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def packages(self) -> list[dict[str, Any]]:
        """Return all packages, oldest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await self.gateway.get(f"/api/packages?limit=100{cursor}", self.key)).json()
            found += page["packages"]
            if page["next_cursor"] is None:
                return found[::-1]
            cursor = f"&cursor={page['next_cursor']}"


def workbook(*rows: Sequence[Any], title: str = "Orders") -> bytes:
    """Return an .xlsx with these rows on its only sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    """Return a workbook's bytes."""
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
