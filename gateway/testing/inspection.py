"""Static checks of a plugin. Each function yields faults as sentences."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway.hookspecs import API_VERSION, PROJECT, GatewayHooks
from gateway.model.event import EventType, is_pattern
from gateway.model.wire import encode

_DOOR: Final = "gateway.plugin"
_MARK: Final = f"{PROJECT}_impl"
_WRAPPERS: Final = ("wrapper", "hookwrapper")
_EVERY_COMMAND_TAKES: Final = ("--config", "--json")


def version_faults(plugin_class: type) -> Iterator[str]:
    """Check that the plugin implements this gateway's API version."""
    stated = getattr(plugin_class, "api_version", None)
    if stated != API_VERSION:
        yield f"api_version is {stated}, the gateway speaks {API_VERSION}"


def settings_faults(plugin_class: type) -> Iterator[str]:
    """Check that ``Settings`` is a frozen struct that refuses unknown keys."""
    settings: Any = getattr(plugin_class, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, msgspec.Struct)):
        yield "Settings is no msgspec.Struct"
        return
    if not settings.__struct_config__.frozen:
        yield "Settings is not frozen=True"
    if not settings.__struct_config__.forbid_unknown_fields:
        yield "Settings is not forbid_unknown_fields=True"


def hook_faults(plugin_class: type) -> Iterator[str]:
    """Check that hook implementations match their hooks."""
    hooks = dict(inspect.getmembers(GatewayHooks, inspect.isfunction))
    for name, function in inspect.getmembers(plugin_class, inspect.isroutine):
        options = getattr(function, _MARK, None)
        if options is None:
            continue
        hook = hooks.get(options.get("specname") or name)
        if hook is None:
            yield f"{name} is no hook"
            continue
        known = set(inspect.signature(hook).parameters)
        taken = inspect.signature(function).parameters.values()
        yield from (f"{name} takes {each.name}" for each in taken if each.name not in known)
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            yield f"{name} is no plain function"
        if any(options.get(each) for each in _WRAPPERS):
            yield f"{name} wraps other plugins' hooks"


def import_faults(package: Path) -> Iterator[str]:
    """Check that a package imports only ``gateway.plugin`` from the gateway."""
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            for name in _imported(node):
                if name != _DOOR and (name == PROJECT or name.startswith(f"{PROJECT}.")):
                    yield f"{file.name}:{getattr(node, 'lineno', 0)} imports {name}"


def _imported(node: ast.AST) -> Sequence[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module == PROJECT:  # from gateway import plugin
            return [f"{PROJECT}.{each.name}" for each in node.names]
        return [node.module]
    return []


def event_type_faults(event_types: Sequence[EventType]) -> Iterator[str]:
    """Check that event types have a meaning, and a sample that fits the schema."""
    import jsonschema_rs  # a dependency of tests only

    for entry in event_types:
        if entry.type == "*" or entry.type.endswith(".*") or not is_pattern(entry.type):
            yield f"{entry.type} can't be subscribed to: write it as in acme.order_synced"
        if not entry.meaning.strip():
            yield f"{entry.type} has no meaning"
        try:
            schema = jsonschema_rs.validator_for(dict(entry.schema), validate_formats=True)
        except jsonschema_rs.ValidationError as error:
            yield f"{entry.type} has an invalid schema: {error.message}"
            continue
        sample = msgspec.json.decode(encode(entry.sample))
        for fault in schema.iter_errors(sample):
            where = ".".join(str(each) for each in fault.instance_path) or "the sample"
            yield f"{entry.type}: {where}: {fault.message}"


def command_faults(command: click.Command, path: str = "") -> Iterator[str]:
    """Check that commands have help and the options that every command takes."""
    name = f"{path} {command.name}".strip()
    if not (command.help or "").strip():
        yield f"{name} has no help"
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from command_faults(each, name)
        return
    options = {each for parameter in command.params for each in parameter.opts}
    yield from (f"{name} takes no {each}" for each in _EVERY_COMMAND_TAKES if each not in options)
