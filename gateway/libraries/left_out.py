"""Keeps modules out of memory that libraries import and the gateway does not use.

A library imports the whole of itself, and others where it finds them installed: SQLAlchemy's
asyncio engine the ORM, Litestar pydantic and attrs, redis the client of a cluster. A server would
hold them, and need time for them at each start, also because of what else its environment has.

A module of ``_MISSING`` doesn't find the libraries beside it, as if they were not installed, unless
something has imported them before: so Litestar serves pydantic's models where a plugin has them. A
plugin that imports such a module of Litestar itself wants its library, and finds it.
One of ``_LATER`` gets stand-ins for what stands beside it, which is imported when it is used: when
something is read from it, or one of its names is called or asked for.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

_MISSING: Final[Mapping[str, Sequence[str]]] = {
    "litestar.plugins.attrs": ("attr", "attrs"),
    "litestar.plugins.opentelemetry": ("opentelemetry",),
    "litestar.plugins.pydantic": ("pydantic",),
    "redis": ("opentelemetry",),
}
_LITESTAR: Final = "litestar."
_LATER: Final[Mapping[str, Sequence[str]]] = {
    "asyncpg.connect_utils": ("configparser", "getpass"),
    "litestar.app": ("pdb",),
    "litestar.exceptions.responses._debug_response": ("html",),
    "litestar.openapi.plugins": ("yaml",),
    "litestar.response.template": ("html",),
    "redis": ("redis.cluster", "redis.keyspace_notifications", "redis.sentinel"),
    "redis.asyncio": (
        "redis.asyncio.cluster",
        "redis.asyncio.keyspace_notifications",
        "redis.asyncio.sentinel",
    ),
    "redis.commands": ("redis.commands.cluster",),
    "sqlalchemy.dialects.postgresql": (
        "sqlalchemy.dialects.postgresql.pg8000",
        "sqlalchemy.dialects.postgresql.psycopg",
        "sqlalchemy.dialects.postgresql.psycopg2",
        "sqlalchemy.dialects.postgresql.psycopg2cffi",
    ),
    "sqlalchemy.dialects.postgresql.base": ("sqlalchemy.dialects.postgresql.pg_catalog",),
    "sqlalchemy.ext.asyncio": ("sqlalchemy.ext.asyncio.session", "sqlalchemy.ext.asyncio.scoping"),
    "uvicorn": ("uvicorn.main",),
    "uvicorn.config": ("configparser", "logging.config"),
}


def leave_out() -> None:
    """Have these modules left out from now on; those that are imported already stay."""
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of both tables, with a loader that leaves out what stands beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _MISSING and fullname not in _LATER:
            return None
        is_litestar_s = fullname in _MISSING and fullname.startswith(_LITESTAR)
        if is_litestar_s and not _importer().startswith(_LITESTAR):
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = _Loader(found.loader)
        return found


def _importer() -> str:
    """Return the name of the module whose import is being carried out."""
    frame = sys._getframe(1)  # noqa: SLF001 - imports have no other way to say it
    name = __name__
    while name == __name__ or name.startswith("importlib."):
        frame = frame.f_back  # type: ignore[assignment]  # a module is at the bottom
        name = frame.f_globals.get("__name__", "")
    return name


class _StandIn(ModuleType):
    """Stands in for a module while another imports it, and from then on in that other one."""

    _is_used = False

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self._is_used:
            return _Name(self.__name__, name)
        return getattr(importlib.import_module(self.__name__), name)


class _Name:
    """Stands in for what is imported from a stand-in: to be called, read, or put in a class."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.value(), name)

    def __get__(self, _instance: object, _owner: type | None = None) -> Any:
        return self.value()

    def value(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


class _Loader(Loader):
    def __init__(self, whole: Loader) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._whole.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        modules: dict[str, Any] = sys.modules
        name = module.__name__
        missing = [each for each in _MISSING.get(name, ()) if each not in modules]
        stand_ins = {each: _StandIn(each) for each in _LATER.get(name, ()) if each not in modules}
        modules.update({**stand_ins, **dict.fromkeys(missing)})
        try:
            self._whole.exec_module(module)
        except ImportError:
            # What is inside it didn't find the library either; the next import may.
            for each in [each for each in modules if missing and each.startswith(f"{name}.")]:
                del modules[each]
            raise
        finally:
            for each in (*missing, *stand_ins):
                del modules[each]
        for each, stand_in in stand_ins.items():
            stand_in._is_used = True  # noqa: SLF001 - our own
            package, _, place = each.rpartition(".")
            if package and not hasattr(modules[package], place):
                setattr(modules[package], place, stand_in)
        if hasattr(module, "__path__"):
            _hand_on_later(module)


def _hand_on_later(package: ModuleType) -> None:
    """Have the names that a package imported to hand them on looked up when they are asked for."""
    names = {name: value for name, value in vars(package).items() if isinstance(value, _Name)}
    for name in names:
        delattr(package, name)

    def look_up(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
        setattr(package, name, names[name].value())
        return getattr(package, name)

    if names:
        vars(package)["__getattr__"] = look_up
