"""The pages that are timed, and the browser that asks for them."""

import http.client
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from stage import GatewayServer
from table import milliseconds_at

PERCENT: Final = (50, 95)
"""Percentiles that are shown."""

Times = dict[str, tuple[float, ...]]
"""Milliseconds by page, at each of ``PERCENT``."""


class Viewer:
    """A person's browser, on one connection."""

    def __init__(self, gateway: GatewayServer, cookie: str) -> None:
        host = f"localhost:{gateway.port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
        self._headers = {
            "Host": host,
            "Cookie": f"session={cookie}",
            "Origin": f"http://{host}",
            "Sec-Fetch-Site": "same-origin",
            "Accept-Encoding": "gzip",
        }

    def look(self, addresses: Mapping[str, str], turns: int) -> Times:
        """Ask for each page many times, one after the other."""
        return {
            name: milliseconds_at(PERCENT, [self._seconds(path) for _ in range(turns)])
            for name, path in addresses.items()
        }

    def search(self, searched: Sequence[Mapping[str, str]]) -> Times:
        """Search for each text once and follow the answer to what it leads to, as a browser does.

        Each of ``searched`` has a text by the kind of search.
        """
        found = {
            f"search: {kind}": [self._found(each[kind]) for each in searched]
            for kind in searched[0]
        }
        found["search: nothing found"] = [
            self._found(f"none {number}") for number in range(len(searched))
        ]
        return {name: milliseconds_at(PERCENT, seconds) for name, seconds in found.items()}

    def _seconds(self, path: str) -> float:
        began = time.perf_counter()
        self._ask(f"/dashboard{path}", None, 200)
        return time.perf_counter() - began

    def _found(self, words: str) -> float:
        began = time.perf_counter()
        sent = self._ask("/dashboard/search", urlencode({"q": words}).encode(), 303)
        status, location = 303, sent.headers["Location"]
        while status == 303:
            answer = self._ask(location, None, None)
            status, location = answer.status, answer.headers["Location"]
        assert status == 200, f"the search led to {status}"
        return time.perf_counter() - began

    def _ask(self, path: str, form: bytes | None, status: int | None) -> Any:
        headers = dict(self._headers)
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request("GET" if form is None else "POST", path, form, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert status in (None, answer.status), f"{path}: {answer.status} {said[:300]!r}"
        return answer


def owner_pages(package_id: str, old_id: str, endpoint_id: str) -> dict[str, str]:
    """Return the address of each page as an owner has it; ids are of a new and an old package."""
    return {
        "Today": "",
        "Packages, today": "/packages",
        "Packages, all": "/packages?view=all",
        "Packages, all, far back": f"/packages?view=all&before={old_id}",
        "Packages, out": "/packages?view=out",
        "Packages, need a person": "/packages?view=person",
        "Packages, without proof": "/packages?view=noproof",
        "Packages, one driver": "/packages?view=all&driver=driver+7",
        "Packages, stat": "/packages?view=all&priority=stat",
        "Packages, controlled": "/packages?view=all&flag=controlled",
        "Packages, from a shop": "/packages?view=all&source=shopify",
        "Packages, a source without any": "/packages?view=all&source=labels",
        "Package": f"/packages/{package_id}",
        "Package, an old one": f"/packages/{old_id}",
        "Events": "/events",
        "Endpoints": "/endpoints",
        "Endpoint": f"/endpoints/{endpoint_id}",
        "Deliveries": "/deliveries",
        "Deliveries, all": "/deliveries?view=all",
        "Deliveries, waiting": "/deliveries?view=waiting",
        "Deliveries, answered 5xx": "/deliveries?view=all&answer=5xx",
        "Import": "/import",
        "Scan": "/scan",
        "Queue": "/queue",
        "Review": "/review",
        "Shops": "/shops",
        "Returns due": "/reports/returns",
        "Manifest": "/reports/manifest",
        "Audit": "/audit",
        "Audit, one person": "/audit?actor=per_7",
        "Audit, a person without any": "/audit?actor=per_none",
        "Plugins and health": "/plugins",
        "Settings": "/settings",
        "Keys": "/keys",
        "People": "/people",
    }


def site_pages() -> dict[str, str]:
    """Return the pages that a person of one site looks at."""
    return {
        "Today": "",
        "Packages, today": "/packages",
        "Packages, all": "/packages?view=all",
        "Events": "/events",
        "Deliveries": "/deliveries",
        "Queue": "/queue",
        "Reports": "/reports",
    }
