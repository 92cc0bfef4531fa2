"""A clinic's spreadsheets of the demo: one imported without three of its rows, one only checked."""

import asyncio
from typing import Final

from gateway.demo.calls import Program
from gateway.errors import GatewayError

_IMPORTS: Final = "/api/packages/imports"
_NAME: Final = "clinic-orders.csv"
_NEXT_NAME: Final = "clinic-tomorrow.csv"
_LOOK_SECONDS: Final = 0.05
_LOOKS: Final = 600
_ROWS: Final = """\
Order,Patient,Address,Phone,Rx,Copay,Signature,Note
C-501,Helena Ruiz,14 Ossington Ave Toronto ON M6J 2Y7,416-555-0131,RX-8890101,4.11,yes,
C-502,Jonas Lindqvist,220 Dundas St W Toronto ON M5T 1G5,416-555-0132,RX-8890102,0.00,no,
C-503,,38 Queen St E Toronto ON M5C 1R6,416-555-0133,RX-8890103,6.11,no,
C-504,Amina Diallo,7 Parliament St Toronto ON M5A 2Y4,416-555-0134,RX-8890104,12.50,yes,
C-505,Peter Vance,61 Danforth Ave Toronto ON M4K 1N2,416-555-0135,RX-8890105,12.5.0,no,
C-506,Sunita Rao,903 Gerrard St E Toronto ON M4M 1Z4,416-555-0136,RX-8890106,8.83,no,Concierge
C-507,Walter Kim,,416-555-0137,RX-8890107,4.11,no,
C-508,Edith Berger,512 Bloor St W Toronto ON M5S 1Y3,416-555-0138,RX-8890108,2.00,yes,
"""
_NEXT: Final = """\
Order,Patient,Address,Phone,Rx,Pharmacist,Copay
C-611,Orla Byrne,88 Bloor St W Toronto ON M5S 1M6,416-555-0141,RX-8890111,P. Raman,4.11
C-612,Tomas Varga,17 Gerrard St E Toronto ON M5B 1G3,416-555-0142,RX-8890112,P. Raman,4.11
C-613,,240 Queen St E Toronto ON M5A 1S3,416-555-0143,RX-8890113,P. Raman,8.83
C-614,Hawa Jalloh,5 Ossington Ave Toronto ON M6J 2Y8,416-555-0144,RX-8890114,P. Raman,8.83
"""


async def import_orders(clinic: Program) -> None:
    """Check the clinic's file and import its good rows; three have problems."""
    found = await _checked(clinic, _NAME, _ROWS)
    await clinic.post(f"{_IMPORTS}/{found}/start", {})
    await _until(clinic, found, "done")


async def check_next(clinic: Program) -> None:
    """Check tomorrow's file, and leave it to a person."""
    await _checked(clinic, _NEXT_NAME, _NEXT)


async def _checked(clinic: Program, name: str, rows: str) -> str:
    path = f"{_IMPORTS}?sender=clinic"
    started = await clinic.upload(path, name, "text/csv", rows.encode())
    import_id: str = started["import_id"]
    await _until(clinic, import_id, "read", "failed")  # failed: it asks what a column is
    return import_id


async def _until(clinic: Program, import_id: str, *states: str) -> None:
    for _ in range(_LOOKS):
        found = await clinic.get(f"{_IMPORTS}/{import_id}")
        if found["state"] in states:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise GatewayError(f"The demo failed: its spreadsheet is not {states[0]} in time.")
