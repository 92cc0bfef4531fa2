"""Generate docs/reference/ from the code. ``--check`` reports stale pages and exits 1.

Run it by ``make docs``. The pages hold the code's docstrings, settings, event types, errors,
commands and routes.
"""

import ast
import asyncio
import dataclasses
import inspect
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

import click
import msgspec

from gateway import errors, plugin
from gateway.cli import main
from gateway.cli.opening import open_gateway
from gateway.hookspecs import GatewayHooks
from gateway.http.app import create_litestar
from gateway.http.errors import STATUS, code_of
from gateway.http.openapi import openapi_document
from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP, default_configuration
from gateway.model.wire import encode
from gateway.runtime import Gateway
from gateway.sdk.cli import Session
from gateway.settings import Settings, load_settings
from gateway.settings.values import describe_type
from gateway.version import DISTRIBUTION

REFERENCE: Final = Path(__file__).parent / "reference"
# Without a shop there is no route for its webhooks.
_SHOP: Final = """
[[plugins.shopify.shops]]
domain = "lakeside.myshopify.com"
client_secret = "made-up"
"""
HEADER: Final = "<!-- Made from the code by `make docs`; change the code, not this page. -->\n\n"


def hooks_page(_gateway: Gateway) -> str:
    """Write every hook with its docstring."""
    parts = [
        (
            "# Hooks\n\nEverything a plugin may do, in the order data meets it. "
            "The source is `gateway/hookspecs.py`.\n"
        )
    ]
    for name, hook in vars(GatewayHooks).items():
        if name.startswith("_"):
            continue
        signature = str(inspect.signature(hook)).replace("self, ", "").replace("(self)", "()")
        parts.append(f"## {name}\n\n```python\ndef {name}{_short(signature)}\n```\n")
        parts.append(_hook_text(inspect.getdoc(hook) or ""))
    return "\n".join(parts)


def _short(signature: str) -> str:
    for long in (
        "collections.abc.",
        "contextlib.",
        "gateway.model.event.",
        "gateway.model.order.",
        "gateway.sdk.records.",
        "litestar.router.",
        "click.core.",
    ):
        signature = signature.replace(long, "")
    return signature


def _hook_text(text: str) -> str:
    lines = []
    for line in text.splitlines():
        head, colon, rest = line.partition(":")
        if colon and head in {"When", "Returns", "Errors", "Example", "Since"}:
            lines.append(f"- **{head}**:{rest}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith(" ") else line)
    return "\n".join(lines) + "\n"


def settings_page(_gateway: Gateway) -> str:
    """Write gateway.toml as ``gateway init`` writes it, and a table of every setting."""
    parts = [
        (
            "# Settings\n\nA key that is unknown or has a value of the wrong type is reported by "
            "`gateway check` with file, table and key.\n\n"
            'Any value may be `{ env = "NAME" }` or `{ file = "path" }`. '
            "`GATEWAY_<TABLE>__<KEY>` in the environment overrides a value. A relative path is "
            "relative to the file.\n\n## What `gateway init` writes\n\n"
            f"```toml\n{default_configuration()}```\n\n## Every setting\n"
        )
    ]
    remarks = _remarks(default_configuration())
    for heading, struct in _settings_tables():
        parts.append(f"### {heading}\n\n{_summary(struct)}\n")
        parts.append("| key | value | default | |\n|---|---|---|---|")
        for entry in msgspec.structs.fields(struct):
            if _struct_in(entry.type) is None:
                remark = remarks.get((heading.strip("[]`"), entry.encode_name), "")
                value = describe_type(entry.type).replace("|", "or")
                parts.append(f"| `{entry.encode_name}` | {value} | {_default(entry)} | {remark} |")
        parts.append("")
    return "\n".join(parts)


def _summary(struct: type[msgspec.Struct]) -> str:
    text = (inspect.getdoc(struct) or "").replace("``", "`")
    return re.sub(r"^`\[+[\w.<>]+\]+`: (.)", lambda found: found[1].upper(), text)


def _settings_tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield each table's heading and struct, of the core and of the stock plugins."""
    yield from _tables_of(Settings, "")
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.name):
        if entry_point.dist is not None and entry_point.dist.name == DISTRIBUTION:
            struct = entry_point.load().Settings
            yield f"`[plugins.{entry_point.name}]`", struct
            yield from _tables_of(struct, f"plugins.{entry_point.name}.")


def _tables_of(
    struct: type[msgspec.Struct], path: str
) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for entry in msgspec.structs.fields(struct):
        inner = _struct_in(entry.type)
        if inner is None:
            continue
        name = f"{path}{entry.encode_name}"
        origin = get_origin(entry.type)
        if origin is tuple:
            yield f"`[[{name}]]`", inner
        else:
            yield f"`[{name}{'.NAME' if origin in {dict, Mapping} else ''}]`", inner
        yield from _tables_of(inner, f"{name}.")


def _struct_in(wanted: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a type is, or holds."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return wanted
    return next((found for each in get_args(wanted) if (found := _struct_in(each))), None)


def _default(entry: Any) -> str:
    if entry.required:
        return "required"
    value = entry.default
    if value is msgspec.NODEFAULT:
        value = entry.default_factory()
    if value is None:
        return "none"
    shown = json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=False)
    return f"`{shown}`"


def _remarks(sample: str) -> dict[tuple[str, str], str]:
    """Return the remark behind each key of gateway.toml, by table and key."""
    remarks: dict[tuple[str, str], str] = {}
    table = ""
    for line in sample.splitlines():
        text = line.removeprefix("# ")
        if heading := re.match(r"\[+([\w.]+)\]+", text):
            table = heading[1]
        elif found := re.match(r"(\w+) = .*?\s#\s(.+)$", text):
            remarks[table, found[1]] = found[2].replace("|", "or")
    return remarks


def events_page(gateway: Gateway) -> str:
    """Write the catalog of event types."""
    parts = [
        (
            "# Events\n\nAn endpoint subscribes by pattern: `delivery.*`, `package.created`, `*`. "
            "`*` leaves out `endpoint.*` and `webhook.test`. Under each type stands a sample of "
            "its `data`; `GET /api/event-types` has the JSON schemas.\n"
        )
    ]
    for entry in gateway.catalog():
        sample = msgspec.json.format(encode(entry.sample)).decode()
        parts.append(f"## {entry.type}\n\n{entry.meaning}\n\n```json\n{sample}\n```\n")
    return "\n".join(parts)


def errors_page(_gateway: Gateway) -> str:
    """Write the error tree with the HTTP status of each."""
    parts = [
        (
            "# Errors\n\nEvery refusal has one shape: "
            '`{"error": "<one sentence>", "code": "<stable_word>", '
            '"details": [{"index"?, "field"?, "message"}]}`. '
            "`details` is `[]` when there is nothing to add. Of a request only field names are "
            "repeated. Every answer has the header `X-Request-Id`.\n"
        ),
        "| status | `code` | error | meaning |\n|---|---|---|---|",
    ]
    by_status = sorted((status, kind) for kind, status in _named(STATUS).items())
    for status, name in by_status:
        text = (inspect.getdoc(getattr(errors, name)) or "").split("\n\n")[0].replace("\n", " ")
        code = code_of(getattr(errors, name))
        parts.append(f"| {status} | `{code}` | `{name}` | {text} |")
    parts.append(
        "| 404 | `no_such_route` | | No such route; `/docs` lists them. |\n"
        "| 405 | `method_not_allowed` | | The route exists, with other methods. |\n"
        "| 500 | `internal_error` | any other | An unexpected failure; `error` names the "
        "request's id in the log. |\n"
    )
    tree = (inspect.getdoc(errors) or "").split("::\n\n")[1].split("\n\n")[0]
    parts.append(
        f"\nThe whole tree, as plugins see it:\n\n```text\n{inspect.cleandoc(tree)}\n```\n"
    )
    return "\n".join(parts)


def _named(table: Mapping[type, int]) -> dict[str, int]:
    return {kind.__name__: status for kind, status in table.items()}


def commands_page(gateway: Gateway) -> str:
    """Write the help of every command."""
    parts = [
        (
            "# Commands\n\nExit 0 done, 1 failed with a one-line reason, 2 wrong usage. Every "
            "command takes `--config PATH`, and `--json` where it prints data. None needs the "
            "server to be "
            "running, and all work while it runs.\n"
        )
    ]
    session = Session(open_gateway, gateway.settings.source)
    with click.Context(main, info_name="gateway", obj=session) as context:
        for words, each, inner in _commands(main, context):
            if not isinstance(each, click.Group):
                parts.append(
                    f"## gateway {' '.join(words)}\n\n```text\n{each.get_help(inner)}\n```\n"
                )
    return "\n".join(parts)


def _commands(
    group: click.Group, context: click.Context, words: Sequence[str] = ()
) -> Iterator[tuple[Sequence[str], click.Command, click.Context]]:
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        if each is None:
            continue
        inner = click.Context(
            each, info_name=name, parent=context, terminal_width=88, max_content_width=88
        )
        yield (*words, name), each, inner
        if isinstance(each, click.Group):
            yield from _commands(each, inner, (*words, name))


def http_page(gateway: Gateway) -> str:
    """Write every address with what its docstring says."""
    document = openapi_document(create_litestar(gateway))
    parts = [
        (
            "# HTTP\n\nJSON everywhere. Send your key in the `X-API-Key` header. The same, with "
            "every field, is on the gateway itself at `/docs`, and for programs at "
            "`/openapi.json`.\n"
        )
    ]
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            parts.append(f"## {method.upper()} {path}\n")
            parts.append(f"{operation.get('description') or operation.get('summary', '')}\n")
    return "\n".join(parts)


class Chapter(NamedTuple):
    """A page of the plugin API: what the names of some modules are for."""

    file: str
    title: str
    text: str
    modules: tuple[str, ...]


CHAPTERS: Final = (
    Chapter(
        "plugin-api-gateway.md",
        "The gateway and the records of hooks",
        "What a plugin is given in its `__init__`, and what its hooks return.",
        ("gateway.hookspecs", "gateway.sdk.protocols", "gateway.sdk.records", "gateway.version"),
    ),
    Chapter(
        "plugin-api-model.md",
        "Orders, packages, events",
        "The structs of the business, and pure functions on them.",
        ("gateway.model.", "gateway.clock"),
    ),
    Chapter(
        "plugin-api-outbound.md",
        "Other systems",
        "Requests through the guard against internal addresses, tokens, signatures of what comes "
        "in, readers of foreign files in a sandbox.",
        (
            "gateway.outbound.",
            "gateway.sandbox.",
            "gateway.sdk.credentials",
            "gateway.sdk.oauth2",
            "gateway.sdk.signed_requests",
        ),
    ),
    Chapter(
        "plugin-api-door.md",
        "Routes, pages and commands",
        "What a plugin shows over HTTP, in the browser and on the command line.",
        ("gateway.sdk.",),
    ),
    Chapter(
        "plugin-api-storage.md",
        "Storage",
        "The database, tables and queues of a plugin's own, and the core's stores.",
        ("gateway.storage.", "sqlalchemy."),
    ),
    Chapter(
        "plugin-api-errors.md",
        "Errors and settings",
        "What a plugin raises and catches. The HTTP status of each is on [errors](errors.md).",
        ("gateway.errors", "gateway.settings"),
    ),
)
"""The first that fits a name's module has it."""


def plugin_api_page(_gateway: Gateway) -> str:
    """Write every name at the plugin door with a link to its chapter."""
    parts = [
        (
            "# Plugin API\n\nEvery name that `gateway.plugin` has; a plugin imports from nowhere "
            "else. The [hooks](hooks.md) have a page of their own, and so has "
            "[what stays as it is](../explanation/stability.md). A name without *since* is of API "
            "version 1.\n"
        )
    ]
    for chapter, names in _by_chapter().items():
        links = ", ".join(f"[`{name}`]({chapter.file}#{_anchor(name)})" for name in names)
        parts.append(f"## [{chapter.title}]({chapter.file})\n\n{chapter.text}\n\n{links}\n")
    return "\n".join(parts)


def _anchor(name: str) -> str:
    """Return a heading's anchor; of an underscore at an end Markdown's renderers make nothing."""
    return name.lower()


def _by_chapter() -> dict[Chapter, list[str]]:
    modules = _modules_of_names()
    found: dict[Chapter, list[str]] = {chapter: [] for chapter in CHAPTERS}
    for name in sorted(plugin.__all__, key=str.lower):
        found[
            next(each for each in CHAPTERS if f"{modules[name]}.".startswith(_dotted(each)))
        ].append(name)
    return found


def _dotted(chapter: Chapter) -> tuple[str, ...]:
    return tuple(f"{each.rstrip('.')}." for each in chapter.modules)


def _modules_of_names() -> dict[str, str]:
    """Return the module that each name at the door is imported from."""
    tree = ast.parse(inspect.getsource(plugin))
    return {
        alias.asname or alias.name: str(statement.module)
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def _chapter_page(chapter: Chapter) -> Callable[[Gateway], str]:
    """Return the function that writes a chapter: each name, its fields or arguments, its text."""

    def write(_gateway: Gateway) -> str:
        groups: dict[str, list[str]] = {title: [] for title in _API_GROUPS}
        for name in _by_chapter()[chapter]:
            title, text = _api_entry(name, getattr(plugin, name))
            groups[title].append(text)
        parts = [
            f"# {chapter.title}\n\n{chapter.text} A part of the [plugin API](plugin-api.md).\n"
        ]
        for title, texts in groups.items():
            if texts:
                parts += [f"## {title}\n", *texts]
        return "\n".join(parts)

    return write


_API_GROUPS: Final = (
    "Structs and records",
    "Services",
    "Functions",
    "Errors",
    "Types",
    "Constants",
)


def _api_entry(name: str, found: Any) -> tuple[str, str]:  # noqa: PLR0911 - one for each kind
    since = plugin.SINCE.get(name)
    heading = f"### {name}\n" + (f"\n*Since API version {since}.*\n" if since else "")
    text = _prose(inspect.getdoc(found) or "")
    if isinstance(found, type):
        if not found.__module__.startswith("gateway."):
            library = found.__module__.partition(".")[0]
            return "Types", f"{heading}\n`{found.__name__}` of the library {library}.\n"
        if issubclass(found, Exception):
            return "Errors", f"{heading}\nA `{found.__bases__[0].__name__}`. {text}\n"
        is_service = getattr(found, "_is_protocol", False)
        title = "Services" if is_service else "Structs and records"
        return title, f"{heading}\n{text}\n{_fields_of(found)}{_members(found)}"
    if inspect.isfunction(found):
        return "Functions", f"{heading}\n```text\n{_signature(name, found)}\n```\n\n{text}\n"
    said = _prose(_constant_text(name))
    if get_origin(found) is not None:
        return "Types", f"{heading}\n`{_type_name(found)}` {said}".rstrip() + "\n"
    if callable(found):
        return "Functions", f"{heading}\n{said}\n"
    shown = repr(sorted(found) if isinstance(found, (set, frozenset)) else found)
    value = f"`{shown}`" if len(shown) <= _LONGEST_VALUE and " at 0x" not in shown else ""
    return "Constants", f"{heading}\n{value} {said}".rstrip() + "\n"


_LONGEST_VALUE: Final = 120


def _constant_text(name: str) -> str:
    """Return the text below a constant, in the module that defines it."""
    for module in [each for each in sys.modules.values() if _is_own(each)]:
        if name not in vars(module):
            continue
        body = ast.parse(inspect.getsource(module)).body
        for statement, below in itertools.pairwise(body):
            if isinstance(statement, ast.Assign):
                targets: Sequence[ast.expr] = statement.targets
            else:
                targets = [statement.target] if isinstance(statement, ast.AnnAssign) else []
            is_it = any(isinstance(each, ast.Name) and each.id == name for each in targets)
            text = below.value if isinstance(below, ast.Expr) else None
            if is_it and isinstance(text, ast.Constant) and isinstance(text.value, str):
                return inspect.cleandoc(text.value)
    return ""


def _is_own(module: Any) -> bool:
    return str(getattr(module, "__name__", "")).startswith("gateway.") and bool(
        getattr(module, "__file__", None)
    )


def _prose(text: str) -> str:
    """Return a docstring as Markdown: code in single ticks, references by their last name."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?([\w()]+)`", r"`\1`", text)
    text = re.sub(r"^\.\. code-block:: python\n", "", text, flags=re.MULTILINE)
    return text.replace("``", "`").replace("`:\n\n    ", "`:\n\n    ")


def _fields_of(found: type) -> str:
    if issubclass(found, msgspec.Struct):
        rows = [
            (each.encode_name, each.type, "required" if each.required else _plain_default(each))
            for each in msgspec.structs.fields(found)
        ]
    elif dataclasses.is_dataclass(found):
        rows = [
            (each.name, each.type, "required" if _is_required(each) else _dataclass_default(each))
            for each in dataclasses.fields(found)
            if each.init
        ]
    elif issubclass(found, tuple) and hasattr(found, "_fields"):
        defaults = found._field_defaults  # type: ignore[attr-defined]  # a NamedTuple
        rows = [
            (name, kind, repr(defaults[name]) if name in defaults else "required")
            for name, kind in found.__annotations__.items()
        ]
    else:
        return ""
    lines = [
        f"{name}: {_type_name(kind)}" + ("" if default == "required" else f" = {default}")
        for name, kind, default in rows
    ]
    return "\n".join(["\n```text", *lines, "```\n"]) if lines else ""


def _is_required(field: Any) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _dataclass_default(field: Any) -> str:
    missing = field.default is dataclasses.MISSING
    shown = repr(field.default_factory() if missing else field.default)
    return "…" if " at 0x" in shown else shown


def _plain_default(field: Any) -> str:
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    shown = repr(value)
    return "…" if " at 0x" in shown else shown


def _members(found: type) -> str:
    """Return the public methods of a class, each with its signature and its first paragraph."""
    lines = []
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        inner = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
        if inspect.isfunction(inner):
            # The first sentence: with all of them the page would be larger than a file may be.
            text = _prose((inspect.getdoc(inner) or "").split("\n\n")[0]).replace("\n", " ")
            text = text.partition(". ")[0].rstrip(".") + "."
            lines.append(f"- `{_signature(name, inner)}`: {text}")
        elif isinstance(member, property):
            lines.append(f"- `{name}`: {_prose(inspect.getdoc(member) or '')}")
    return "\n".join(["", *lines, ""]) if lines else ""


def _signature(name: str, function: Any) -> str:
    text = str(inspect.signature(function))
    text = re.sub(r"\b(?:[a-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)
    text = re.sub(r"<[^>]*>", "…", text).replace("(self, ", "(").replace("(self)", "()")
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{word} {name}{text}".replace("'", "")


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)
    return re.sub(r"<[^>]*>", "…", text).replace("\n", " ")


PAGES: Final[Mapping[str, Callable[[Gateway], str]]] = {
    "hooks.md": hooks_page,
    "plugin-api.md": plugin_api_page,
    **{each.file: _chapter_page(each) for each in CHAPTERS},
    "settings.md": settings_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "http.md": http_page,
}


async def written_pages() -> dict[str, str]:
    """Return the text of every page, from a gateway with all stock plugins at their defaults."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "gateway.toml"
        file.write_text(default_configuration() + _SHOP, encoding="utf-8")
        settings = load_settings(file, {})
        async with Gateway(settings) as gateway:
            return {name: HEADER + write(gateway).strip() + "\n" for name, write in PAGES.items()}


def run(words: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only say which are stale."""
    stale = []
    for name, text in asyncio.run(written_pages()).items():
        page = REFERENCE / name
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in words:
            REFERENCE.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{'stale' if '--check' in words else 'written'}: docs/reference/{name}")
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
