"""Reads once a process what each start of a gateway reads again: a run starts two thousand.

A third of a start is the same each time: the signatures of route handlers, the entry points of
the installed packages, the French and Spanish texts, the compiled templates. Gateways in
processes of their own, as the journeys start them, are left alone.
"""

import gettext
import inspect
import io
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, Final

from litestar._signature.model import SignatureModel
from litestar.utils.signature import ParsedSignature

from gateway.dashboard import environments

MOST: Final = 5_000


def read_once() -> None:
    """Remember what was read, from now on."""
    _signatures()
    _signature_models()
    _installed_packages()
    _texts()
    _templates()


def _signatures() -> None:
    """A handler of another gateway is another closure, with the same code and annotations."""
    read = ParsedSignature.from_fn.__func__
    known: dict[Any, ParsedSignature] = {}

    def from_fn(cls, fn, signature_namespace):
        try:
            key = _what_a_signature_depends_on(fn)
            if key in known:
                return known[key]
        except TypeError:  # a default or an annotation that can't be hashed
            key = None
        parsed = read(cls, fn, signature_namespace)
        if key is not None and len(known) < MOST:
            known[key] = parsed
        return parsed

    ParsedSignature.from_fn = classmethod(from_fn)


def _what_a_signature_depends_on(fn: Any) -> Any:
    """Return all that it depends on, or ``None`` where that is more than the function itself."""
    function = fn.__func__ if inspect.ismethod(fn) else fn
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return None
    annotations = tuple(function.__annotations__.items())
    if any(isinstance(annotation, str) for _, annotation in annotations):
        return None  # names, which its module resolves
    defaults = *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()
    key = fn is function, function.__code__, annotations, defaults, tuple(map(type, defaults))
    hash(key)
    return key


def _signature_models() -> None:
    make = SignatureModel.create.__func__
    known: dict[Any, tuple[ParsedSignature, type[SignatureModel]]] = {}

    def create(cls, dependency_name_set, fn, parsed_signature, type_decoders, data_dto=None):
        key = id(parsed_signature), frozenset(dependency_name_set), data_dto
        if key in known and not type_decoders:
            return known[key][1]
        made = make(cls, dependency_name_set, fn, parsed_signature, type_decoders, data_dto)
        if len(known) < MOST and not type_decoders:
            known[key] = parsed_signature, made  # kept, so that no other signature takes its id
        return made

    SignatureModel.create = classmethod(create)


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
