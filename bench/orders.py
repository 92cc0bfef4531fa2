"""The orders that the load generator sends: made up, each different, all of one length.

A request's bytes are made once, with places for a number in each order; filling the
numbers in is all that is left to do while the clock runs.
"""

import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Final

from sink import ORDER, ORDER_LENGTH

MOST_ORDERS: Final = 10**8
"""How many different orders there are."""

_NAMES: Final = ("Maria Rodriguez", "Alex Kim", "Ana Silva", "Joseph O'Neill", "Zoe Tremblay")
_STREETS: Final = ("123 Main St", "450 Collins Ave", "200 Biscayne Blvd", "1 Ocean Dr")
_NUMBER: Final = "@@@@@@@@"
_MARK: Final = b"@"


class Requests:
    """``POST /api/webhook/orders`` with ``size`` orders each, no two orders the same.

    ``first`` is the number of the first order: loads that meet the same gateway take care
    that their numbers don't overlap. With ``sites`` each order of a request names one, in turn.
    """

    def __init__(
        self,
        host: str,
        keys: Sequence[str],
        size: int,
        first: int = 0,
        sites: Sequence[str] = (),
    ) -> None:
        self._size = size
        self._next = first
        orders = [_order(place) for place in range(size)]
        for place, order in enumerate(orders if sites else ()):
            order["site"] = sites[place % len(sites)]
        self._forms = [_form(host, key, orders) for key in keys]

    def make(self, connection: int) -> bytes:
        """Return the next request; each connection stays with one key."""
        first = self._next
        self._next += self._size
        numbers = [b"%08d" % number for number in range(first, self._next)]
        return self._forms[connection % len(self._forms)] % tuple(
            part for each in numbers for part in (each[:2], each[2:], each, each, each)
        )


class Calls:
    """A peer's create calls: a form filled with each call's ``$order`` and ``$number``."""

    def __init__(self, host: str, call: Mapping[str, Any], first: int) -> None:
        self._next = first
        self._head = "".join(
            [
                f"POST {call['path']} HTTP/1.1\r\nHost: {host}\r\n",
                *(f"{name}: {value}\r\n" for name, value in call["headers"].items()),
            ]
        )
        self._body = Template(call["body"])

    def make(self, _connection: int) -> bytes:
        """Return the next request."""
        self._next += 1
        order = f"{ORDER.decode()}{self._next:0{ORDER_LENGTH - len(ORDER)}d}"
        body = self._body.substitute(order=order, number=f"{self._next:08d}").encode()
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _order(place: int) -> dict[str, Any]:
    """Make the order at one place of a request, the quick-start order with all its ids."""
    return {
        # North American: area code and exchange start at 2 or higher.
        "patient_phone": f"+13{_NUMBER[:2]}5{_NUMBER[2:]}",
        "rx_number": f"RX-{_NUMBER}",
        "external_patient_id": f"P-{_NUMBER}",
        "external_order_id": f"ORD-{_NUMBER}",
        "patient_name": _NAMES[place % len(_NAMES)],
        "patient_address": f"{_STREETS[place % len(_STREETS)]}, Miami, FL {33100 + place % 97}",
        "copay_amount": 12.5,
        "priority": "routine",
        "requires_signature": True,
    }


def _form(host: str, key: str, orders: Sequence[dict[str, Any]]) -> bytes:
    body = json.dumps({"orders": orders}, separators=(",", ":")).encode()
    head = (
        f"POST /api/webhook/orders HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    form = body.replace(b"%", b"%%")
    for length in (8, 6, 2):
        form = form.replace(_MARK * length, b"%b")
    return head + form
