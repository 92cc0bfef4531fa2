"""Static checks of a plugin. Each function yields faults as sentences."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from gateway.hooks import Hooks
from gateway.hookspecs import PROJECT
from gateway.installed_plugins.faults import (
    hook_faults,
    settings_faults,
    unmarked_faults,
    version_faults,
)
from gateway.model.event import EventType, is_pattern
from gateway.model.masking import PATIENT_FIELDS
from gateway.model.wire import encode
from gateway.sdk.inbox import Inbox

__all__ = [
    "command_faults",
    "event_type_faults",
    "hook_faults",
    "import_faults",
    "inbox_faults",
    "settings_faults",
    "unmarked_faults",
    "version_faults",
]

_DOOR: Final = "gateway.plugin"
_EVERY_COMMAND_TAKES: Final = ("--config", "--json")


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
        for name in sorted(PATIENT_FIELDS.intersection(entry.shown)):
            yield f"{entry.type} shows {name}, which holds patient data"
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


def inbox_faults(hooks: Hooks) -> Iterator[str]:
    """Check that each inbox in the plugin's lifespan has its jobs."""
    jobs = {each.name for each in hooks.jobs()}
    for each in hooks.lifespan_records():
        if isinstance(each, Inbox) and f"{each.plugin}-inbox" not in jobs:
            yield (
                f"the inbox of {each.plugin} has no job: return inbox.jobs() from the hook jobs, "
                "or retries and what a killed process left are found by nothing"
            )


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
