"""The result of an action, shown once on the next page: a cookie of a minute, hidden from scripts.

It contains a sentence without patient data in full, and the undo button, if there is one.
"""

import base64
import binascii
from typing import Any, Final

import msgspec
from litestar import Request, Response

from gateway.auth.web_origin import local_path
from gateway.dashboard.cookies import put_cookie
from gateway.sdk.pages import SeeOther

COOKIE: Final = "toast"
_SECONDS: Final = 60
_LONGEST: Final = 600


class Toast(msgspec.Struct, frozen=True):
    """A sentence, and a form that undoes the action."""

    text: str
    undo_path: str = ""
    undo_label: str = ""
    undo_fields: dict[str, str] = {}


def toast_of(answer: SeeOther, undo_path: str) -> Toast | None:
    """Return the toast of a response; ``undo_path`` is the address of its undo."""
    if not answer.toast:
        return None
    text = answer.toast[:_LONGEST]
    if answer.undo is None:
        return Toast(text)
    return Toast(text, undo_path, answer.undo.label, dict(answer.undo.fields))


def put_toast(answer: Response[Any], toast: Toast, origin: str) -> None:
    """Set the toast for the next page."""
    value = base64.urlsafe_b64encode(msgspec.json.encode(toast)).decode().rstrip("=")
    put_cookie(answer, COOKIE, value, origin, max_age=_SECONDS)


def take_toast(request: Request[Any, Any, Any]) -> Toast | None:
    """Return the toast for this page; the response deletes it."""
    value = request.cookies.get(COOKIE) or request.cookies.get(f"__Host-{COOKIE}")
    if not value:
        return None
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        toast = msgspec.json.decode(data, type=Toast)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    if toast.undo_path and local_path(toast.undo_path, "") != toast.undo_path:
        return Toast(toast.text)
    return toast


def drop_toast(answer: Response[Any], origin: str) -> None:
    """Delete the toast after it is shown."""
    put_cookie(answer, COOKIE, "", origin, max_age=0)
