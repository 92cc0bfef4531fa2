"""Where pages and sessions are served: at the host of ``public_url``, over https or on localhost.

Passkeys belong to one host name, and a browser keeps ``__Host-`` cookies for https only. So every
other address either redirects there or refuses to sign anyone in, and names the remedy.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.errors import NotAllowed
from gateway.settings import Settings

LOCALHOST: Final = "localhost"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_NEXT: Final = 500


class Place(NamedTuple):
    """The result for an address: ``origin`` where sign-in works, else ``leads_to`` or ``refusal``.

    ``leads_to`` is the origin of the right address; ``refusal`` says what to do.
    """

    origin: str | None = None
    leads_to: str | None = None
    refusal: str | None = None

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return cookie_name("session", self.origin or "")


class WebOrigin:
    """Checks addresses and origins by the settings."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.gateway.public_url)
        self._scheme = parts.scheme
        self._host = (parts.hostname or LOCALHOST).lower()
        self._netloc = parts.netloc.lower()
        self._serves_tls = settings.http.tls_cert is not None

    def judge(self, scheme: str, host: str) -> Place:
        """Check a request's scheme and ``Host`` header."""
        name, port = _split(host)
        if name is None:
            return Place(refusal="The address isn't one that the gateway knows.")
        if scheme == "https":
            return self._judge_https(name, host)
        if self._scheme == "https":
            return self._judge_plain_in_front_of_https(name)
        if self._host == LOCALHOST and name == LOCALHOST:
            return Place(origin=f"http://{host.lower()}")
        if self._host == LOCALHOST and _is_loopback(name):
            return Place(leads_to=f"http://{LOCALHOST}{port}")
        return Place(
            refusal="Signing in needs https, or http://localhost on the gateway's own machine. "
            f"Run: gateway tls init {name if _is_name(name) else 'NAME'}"
        )

    def _judge_https(self, name: str, host: str) -> Place:
        if name == self._host:
            return Place(origin=f"https://{host.lower()}")
        if self._scheme == "https":
            return Place(leads_to=f"https://{self._netloc}")
        return Place(
            refusal="Set [gateway] public_url to the https address that people use, then restart "
            "the gateway: their passkeys and sign-ins belong to it."
        )

    def _judge_plain_in_front_of_https(self, name: str) -> Place:
        if self._serves_tls or name != self._host:
            return Place(leads_to=f"https://{self._netloc}")
        return Place(
            refusal="This address is https for you, but the gateway is asked over plain http: "
            "name the proxy in [http] trusted_proxies, so that it may say so."
        )

    def refuse_foreign(self, method: str, headers: Mapping[str, str], origin: str) -> None:
        """Raise ``NotAllowed`` for an unsafe request that another site's page may have sent."""
        if method in _SAFE:
            return
        site, given = headers.get("sec-fetch-site"), headers.get("origin")
        is_ours = site == "same-origin" if site is not None else given is not None
        if not is_ours or (given is not None and given.lower() != origin):
            raise NotAllowed(
                "This request came from another site, or from no page at all; nothing was done."
            )


def cookie_name(name: str, origin: str) -> str:
    """Return a cookie's name at an origin: ``__Host-`` binds it to the host and to https."""
    return f"__Host-{name}" if origin.startswith("https://") else name


def local_path(target: str | None, otherwise: str) -> str:
    """Return ``target`` if it is a path of the dashboard, for a redirect after signing in."""
    if (
        target is None
        or len(target) > _MAX_NEXT
        or not target.isascii()
        or not target.isprintable()
        or not (target == "/dashboard" or target.startswith("/dashboard/"))
        or any(each in target for each in "\\ ")
        or ".." in target
        or "//" in target
    ):
        return otherwise
    return target


def _split(host: str) -> tuple[str | None, str]:
    """Return the name in a ``Host`` header, and ``:port`` if there is one."""
    if not host or any(each in host for each in "@/\\?# ,"):
        return None, ""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None, ""
    return (parts.hostname or "").lower() or None, "" if port is None else f":{port}"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_name(name: str) -> bool:
    return all(each.isalnum() or each in ".-:" for each in name)
