"""Keeps SQLAlchemy's ORM out of memory: the gateway uses its Core only.

``sqlalchemy.ext.asyncio`` imports its sessions beside its engine, and they import the whole ORM:
six megabytes, and 75 ms of each start. Here its sessions are imported when one is asked for, so a
plugin that uses ``AsyncSession`` finds it as ever.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

_PACKAGE: Final = "sqlalchemy.ext.asyncio"
_SESSIONS: Final = (f"{_PACKAGE}.session", f"{_PACKAGE}.scoping")
_LATER: Final = object()


def leave_out_orm() -> None:
    """Have the sessions imported when one is asked for, unless they are imported already."""
    if _PACKAGE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the package once, with a loader that leaves its sessions out."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = _WithoutSessions(found.loader)
        return found


class _Sessions(ModuleType):
    """Stands in for a module of sessions while the package imports names from it."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _LATER


class _WithoutSessions(Loader):
    def __init__(self, whole: Loader) -> None:
        self._whole = whole

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._whole.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules.update({name: _Sessions(name) for name in _SESSIONS})
        try:
            self._whole.exec_module(module)
        finally:
            for name in _SESSIONS:
                sys.modules.pop(name, None)
                vars(module).pop(name.rpartition(".")[2], None)
        later = [name for name, value in vars(module).items() if value is _LATER]
        for name in later:
            delattr(module, name)

        def of_sessions(name: str) -> object:
            if name in later:
                for each in map(importlib.import_module, _SESSIONS):
                    if hasattr(each, name):
                        return getattr(each, name)
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")

        vars(module)["__getattr__"] = of_sessions
