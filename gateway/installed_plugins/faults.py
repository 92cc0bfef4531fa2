"""Faults of a plugin class that are seen without calling it: version, settings, hooks.

Each function yields sentences. The loader, ``gateway check``, ``gateway plugins check`` and the
contract suite all take them from here, so that a fault has one sentence wherever it is shown.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.hookspecs import API_VERSION, OLDEST_API_VERSION, PROJECT, GatewayHooks

DEPRECATED: Final[Mapping[str, str]] = {}
"""What to use instead of a name at the door that will be gone, and when it goes."""

_KEPT_BY_NAME: Final = ("PluginState", "Credential", "Inbox")
_MARK: Final = f"{PROJECT}_impl"
_WRAPPERS: Final = ("wrapper", "hookwrapper")


def version_faults(
    plugin_class: type, oldest: int = OLDEST_API_VERSION, newest: int = API_VERSION
) -> Iterator[str]:
    """Check that the plugin implements a version of the API that this gateway speaks."""
    stated = getattr(plugin_class, "api_version", None)
    if not isinstance(stated, int) or not oldest <= stated <= newest:
        spoken = f"{newest}" if oldest == newest else f"{oldest} to {newest}"
        yield (
            f"speaks plugin API version {stated}, this gateway speaks {spoken}; "
            "install a version of the plugin that matches"
        )


def deprecated_faults(package: Path, deprecated: Mapping[str, str] = DEPRECATED) -> Iterator[str]:
    """Find the names of ``gateway.plugin`` that a package imports and that will be gone.

    ``deprecated`` has what to do instead, by name. Yields a sentence with the place of each.
    """
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    for file in files if deprecated else ():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "gateway.plugin":
                yield from (
                    f"{each.name} ({file.name}:{node.lineno}) is deprecated: "
                    f"{deprecated[each.name]}"
                    for each in node.names
                    if each.name in deprecated
                )


def foreign_name_faults(package: Path, name: str) -> Iterator[str]:
    """Find what a package would keep under the name of another plugin than ``name``.

    State, tokens and messages are kept by the plugin's name, which it writes itself: with another
    one, two plugins would share them.
    """
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    for file in files:
        text = file.read_text("utf-8")
        if not any(each in text for each in _KEPT_BY_NAME):
            continue  # parsing takes a hundred times longer than this search
        for node in ast.walk(ast.parse(text)):
            kind, given = _named_after(node)
            if kind in _KEPT_BY_NAME and given is not None and given != name:
                yield (
                    f"{kind} ({file.name}:{getattr(node, 'lineno', 0)}) is made for the plugin "
                    f"{given}: give it this plugin's name, {name}"
                )


def _named_after(node: ast.AST) -> tuple[str, str | None]:
    """Return the class that a call makes something of, and its first argument."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return "", None
    first = [each.value for each in node.keywords if each.arg == "plugin"] or node.args[:1]
    value = first[0].value if first and isinstance(first[0], ast.Constant) else None
    return node.func.id, value if isinstance(value, str) else None


def settings_faults(plugin_class: type) -> Iterator[str]:
    """Check that ``Settings`` is a frozen struct that refuses unknown keys."""
    settings: Any = getattr(plugin_class, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, msgspec.Struct)):
        yield "has no Settings: a msgspec.Struct class attribute of that name"
        return
    if not settings.__struct_config__.frozen:
        yield "Settings is not frozen=True: settings never change while the gateway runs"
    if not settings.__struct_config__.forbid_unknown_fields:
        yield "Settings is not forbid_unknown_fields=True: a mistyped key would go unnoticed"


def hook_faults(plugin_class: type) -> Iterator[str]:
    """Check that hook implementations match their hooks; the gateway calls none that doesn't."""
    hooks = _hooks()
    for name, function, options in _marked(plugin_class):
        hook = hooks.get(options.get("specname") or name)
        if hook is None:
            import difflib  # for a wrong name only

            nearest = difflib.get_close_matches(name, list(hooks), 1)
            yield f"{name} is no hook" + (f"; did you mean {nearest[0]}?" if nearest else "")
            continue
        given = [each for each in inspect.signature(hook).parameters if each != "self"]
        names = ", ".join(given) or "nothing"
        yield from (
            f"{name} takes {each}, which the hook doesn't give: it gives {names}"
            for each in _taken(plugin_class, name, function)
            if each not in given
        )
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            yield f"{name} must be a plain function: hooks never wait"
        if any(options.get(each) for each in _WRAPPERS):
            yield f"{name} wraps other plugins' hooks, which the gateway doesn't call"


def unmarked_faults(plugin_class: type) -> Iterator[str]:
    """Check that nothing is named like a hook and left without ``@hookimpl``."""
    marked = {name for name, _, _ in _marked(plugin_class)}
    for name in _hooks():
        if name not in marked and inspect.isroutine(getattr(plugin_class, name, None)):
            yield f"{name} is named like a hook and has no @hookimpl, so it is never called"


def implemented_hooks(plugin_class: type) -> list[str]:
    """Return the hooks that a plugin implements, in the order of :mod:`gateway.hookspecs`."""
    marked = {options.get("specname") or name for name, _, options in _marked(plugin_class)}
    return [hook for hook in _hooks() if hook in marked]


def _hooks() -> Mapping[str, Any]:
    return {
        name: function
        for name, function in vars(GatewayHooks).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


def _marked(plugin_class: type) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for name, function in inspect.getmembers(plugin_class, inspect.isroutine):
        options = getattr(function, _MARK, None)
        if options is not None:
            yield name, function, options


def _taken(plugin_class: type, name: str, function: Any) -> Iterator[str]:
    """Yield the arguments that must be given: not the instance, none with a default."""
    parameters = list(inspect.signature(function).parameters.values())
    is_static = isinstance(inspect.getattr_static(plugin_class, name), staticmethod)
    if inspect.isfunction(function) and not is_static:
        parameters = parameters[1:]
    yield from (each.name for each in parameters if each.default is inspect.Parameter.empty)
