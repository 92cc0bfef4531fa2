"""The cookies of a browser: its session, which ends with the browser, and its device token."""

from typing import Any, Final

from litestar import Response

from gateway.auth.sign_in import DEVICE_LIFE, Begun
from gateway.auth.web_origin import cookie_name

SESSION: Final = "session"
DEVICE: Final = "device"
_DEVICE_SECONDS: Final = int(DEVICE_LIFE.total_seconds())


def begin_session(answer: Response[Any], origin: str, begun: Begun) -> None:
    """Set a session's cookie and the device token."""
    put_cookie(answer, SESSION, begun.cookie, origin)
    put_cookie(answer, DEVICE, begun.device, origin, max_age=_DEVICE_SECONDS)


def end_session(answer: Response[Any], origin: str) -> None:
    """Delete the session's cookie; the device token stays."""
    put_cookie(answer, SESSION, "", origin, max_age=0)


def put_cookie(
    answer: Response[Any], name: str, value: str, origin: str, *, max_age: int | None = None
) -> None:
    """Set a cookie that no script reads and no other site's form sends."""
    answer.set_cookie(
        cookie_name(name, origin),
        value,
        max_age=max_age,
        secure=origin.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
