"""The place of an exception, for the log: file, line and function, never the message.

An exception's message may quote anything, also a patient's name; the place never does.
"""

import functools
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

_OWN: Final = "gateway"


def place_of(error: BaseException, function: Callable[..., Any]) -> str:
    """Return the place that raised ``error``: ``gateway_acme/jobs.py:31 in poll``.

    It is the innermost place in the package of ``function``, which was called; deeper places don't
    help the package's author. If the exception wasn't raised there (a result of the wrong type), it
    is the first line of ``function``, or empty if it has none.
    """
    inner = _inner(function)
    package = (getattr(inner, "__module__", None) or "").partition(".")[0]
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        # A record may hold one of the core's own functions, such as QueueWorker.run.
        is_own = package == _OWN and module.startswith(_OWN) and module != __name__
        if module.partition(".")[0] == package or is_own:
            found = f"{_file(frame, module)}:{line} in {frame.f_code.co_name}"
    return found or beginning_of(inner)


def with_place(text: str, error: BaseException, function: Callable[..., Any]) -> str:
    """Return ``text`` (such as the class of ``error``) and its place: ``KeyError at … in …``."""
    place = place_of(error, function)
    return f"{text} at {place}" if place else text


def _inner(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(getattr(function, "__func__", function))


def _file(frame: FrameType, module: str) -> str:
    """Return a file's path within its package, without the folder of the installation."""
    return _shortened(frame.f_code.co_filename, module)


def _shortened(filename: str, module: str) -> str:
    path = Path(filename)
    depth = module.count(".") + (2 if path.name == "__init__.py" else 1)
    return "/".join(path.parts[-depth:])


def beginning_of(function: Any) -> str:
    """Return where a function begins: ``gateway_acme/routes.py:31 in take_orders``."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    file = _shortened(code.co_filename, function.__module__ or "")
    name = getattr(function, "__name__", code.co_name)
    return f"{file}:{code.co_firstlineno} in {name}"
