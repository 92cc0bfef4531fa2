"""Reads once a process what each start of a gateway reads again: a run starts two thousand.

Most of a start is the same each time: what route handlers take, the entry points of the installed
packages, the French and Spanish texts, the code of templates, the text of SQL statements. Gateways
in processes of their own, as the journeys start them, are left alone.
"""

import gettext
import inspect
import io
import sys
from copy import deepcopy
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, Final

from litestar._kwargs import KwargsModel
from litestar._signature.model import SignatureModel
from litestar.handlers import HTTPRouteHandler
from litestar.utils.signature import ParsedSignature
from sqlalchemy.ext.asyncio import engine

from gateway.dashboard import environments

MOST: Final = 5_000


def read_once() -> None:
    """Remember what was read, from now on."""
    _signatures()
    _signature_models()
    _parameters()
    _installed_packages()
    _texts()
    _templates()
    _statements()
    _copies()


def _signatures() -> None:
    """A handler of another gateway is another closure, with the same code and annotations."""
    read = ParsedSignature.from_fn.__func__
    known: dict[Any, tuple[Any, ParsedSignature]] = {}

    def from_fn(cls, fn, signature_namespace):
        function = fn.__func__ if inspect.ismethod(fn) else fn
        if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
            return read(cls, fn, signature_namespace)
        depends_on = function.__annotations__, function.__defaults__, function.__kwdefaults__
        key = function is fn, function.__code__
        before, parsed = known.get(key, (None, None))
        if before == depends_on:
            return parsed
        parsed = read(cls, fn, signature_namespace)
        named = any(isinstance(each, str) for each in function.__annotations__.values())
        # A name may be another thing in each namespace; Litestar's own are its module's.
        if not named or function.__module__.startswith("litestar."):
            known[key] = depends_on, parsed
        return parsed

    ParsedSignature.from_fn = classmethod(from_fn)


def _signature_models() -> None:
    make = SignatureModel.create.__func__
    known: dict[Any, tuple[ParsedSignature, type[SignatureModel]]] = {}

    def create(cls, dependency_name_set, fn, parsed_signature, type_decoders, data_dto=None):
        kinds = tuple(is_kind for is_kind, _ in type_decoders or ())
        key = id(parsed_signature), frozenset(dependency_name_set), data_dto, kinds
        if key in known:
            return known[key][1]
        made = make(cls, dependency_name_set, fn, parsed_signature, type_decoders, data_dto)
        if len(known) < MOST:
            known[key] = parsed_signature, made  # kept, so that no other signature takes its id
        return made

    SignatureModel.create = classmethod(create)


def _parameters() -> None:
    """What a handler takes of a request: by its model, its path and what it depends on."""
    make = KwargsModel.create_for_signature_model.__func__
    known: dict[Any, KwargsModel] = {}

    def create(
        cls,
        signature_model,
        parsed_signature,
        dependencies,
        path_parameters,
        layered_parameters,
        ctx,
    ):
        provided = tuple((name, each.dependency) for name, each in dependencies.items())
        key = signature_model, frozenset(path_parameters), provided
        # What a closure provides is of one gateway, which must end with its test.
        is_shared = not layered_parameters and all(
            inspect.isfunction(each) and each.__closure__ is None for _, each in provided
        )
        if is_shared and key in known:
            return known[key]
        made = make(
            cls,
            signature_model,
            parsed_signature,
            dependencies,
            path_parameters,
            layered_parameters,
            ctx,
        )
        if is_shared and len(known) < MOST:
            known[key] = made
        return made

    KwargsModel.create_for_signature_model = classmethod(create)


def _installed_packages() -> None:
    """Only those of the environment, which no test changes."""
    for name in ("entry_points", "metadata"):
        setattr(Distribution, name, property(_read_once_of_ours(getattr(Distribution, name).fget)))


def _read_once_of_ours(read: Any) -> Any:
    known: dict[Path, Any] = {}

    def reading(distribution: Distribution) -> Any:
        path = getattr(distribution, "_path", None)
        if not isinstance(path, Path) or not path.is_relative_to(sys.prefix):
            return read(distribution)
        if path not in known:
            known[path] = read(distribution)
        return known[path]

    return reading


def _texts() -> None:
    parse = gettext.GNUTranslations._parse
    known: dict[bytes, dict[str, Any]] = {}

    def parsed(self: gettext.GNUTranslations, file: Any) -> None:
        content = file.read()
        if content not in known:
            before = vars(self).copy()
            parse(self, io.BytesIO(content))
            known[content] = {
                name: value for name, value in vars(self).items() if before.get(name) is not value
            }
        vars(self).update(known[content])

    gettext.GNUTranslations._parse = parsed


def _templates() -> None:
    """The code is kept with the source it was made of: another source replaces it."""
    kept: dict[str, Any] = {}
    environments._SharedCode.__init__ = lambda self: setattr(self, "_kept", kept)


class _CompiledOfAll(dict[Any, Any]):
    """The statements of all engines of a dialect; a key begins with the engine's own dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        if len(self) < MOST:
            super().__setitem__(key[1:], compiled)


def _statements() -> None:
    """An engine compiles each statement once; a test has an engine of its own, with the same."""
    create = engine._create_engine
    of: dict[Any, _CompiledOfAll] = {}

    def created(*args: Any, **options: Any) -> Any:
        made = create(*args, **options)
        kind = type(made.dialect), made.dialect.paramstyle
        made._compiled_cache = of.setdefault(kind, _CompiledOfAll())
        return made

    engine._create_engine = created


def _copies() -> None:
    """Litestar copies a router to the depth of its handlers' settings: their containers will do."""
    slots = [name for kind in HTTPRouteHandler.__mro__ for name in getattr(kind, "__slots__", ())]
    containers = dict, list, set

    def copied(self: HTTPRouteHandler, memo: dict[int, Any]) -> HTTPRouteHandler:
        new = memo[id(self)] = type(self).__new__(type(self))
        for name in [*slots, *getattr(self, "__dict__", ())]:
            value = getattr(self, name, memo)
            if value is memo or name.startswith("__"):
                continue
            if name == "owner":
                value = deepcopy(value, memo)
            elif type(value) in containers:
                value = value.copy()
            setattr(new, name, value)
        return new

    HTTPRouteHandler.__deepcopy__ = copied
