"""The score of a plugin, from computable rules: ``gateway plugins check NAME --score``.

Three levels, each with all rules of the ones before: *bronze* works, *silver* can be operated,
*gold* can be given to other pharmacies. A rule that doesn't apply to a plugin counts as met.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import click

from gateway.errors import Problem
from gateway.installed_plugins.faults import implemented_hooks
from gateway.runtime import Gateway
from gateway.sdk.inbox import Inbox
from gateway.sdk.records import InstalledPlugin
from gateway.version import DISTRIBUTION

Level = Literal["bronze", "silver", "gold"]
LEVELS: Final[Sequence[Level]] = ("bronze", "silver", "gold")
LANGUAGES: Final = ("fr", "es")
_README_CHARACTERS: Final = 300


class Rule(NamedTuple):
    """A rule, whether it is met, and what to do if it isn't."""

    level: Level
    name: str
    holds: bool
    advice: str


class Score(NamedTuple):
    """The highest level whose rules are all met, if there is one, and all rules."""

    level: Level | None
    rules: Sequence[Rule]


def score_of(
    alone: Gateway, plugin: InstalledPlugin, plugin_class: type | None, problems: Sequence[Problem]
) -> Score:
    """Score a plugin; ``alone`` is a gateway with this plugin only.

    ``plugin_class`` is ``None`` for one that can't be loaded.
    """
    if problems or plugin_class is None:
        rules = [Rule("bronze", "works", holds=False, advice="mend the problems above")]
        return Score(None, rules)
    rules = [
        *_bronze(alone, plugin),
        *_silver(alone, plugin, plugin_class),
        *_gold(plugin, plugin_class),
    ]
    reached: Level | None = None
    for level in LEVELS:
        if not all(each.holds for each in rules if each.level == level):
            break
        reached = level
    return Score(reached, rules)


def _bronze(alone: Gateway, plugin: InstalledPlugin) -> Iterator[Rule]:
    yield Rule("bronze", "works", holds=True, advice="")
    yield Rule(
        "bronze",
        "sample of gateway.toml",
        plugin.settings_file is not None and plugin.settings_file.is_file(),
        "ship gateway.sample.toml in the package: gateway init includes it",
    )
    unexplained = [path for path, text in _routes(alone) if not text]
    yield Rule(
        "bronze",
        "routes are documented",
        not unexplained,
        f"write a docstring for {', '.join(unexplained)}: /docs shows it",
    )
    helpless = [
        each.name or "" for each in alone.hooks.cli_commands() if not (each.help or "").strip()
    ]
    yield Rule(
        "bronze", "commands have help", not helpless, f"write a help for {', '.join(helpless)}"
    )


def _silver(alone: Gateway, plugin: InstalledPlugin, plugin_class: type) -> Iterator[Rule]:
    yield Rule(
        "silver",
        "types are shipped",
        any((folder / "py.typed").is_file() for folder in _folders(plugin_class)),
        "put an empty py.typed into the package",
    )
    hooks = alone.hooks
    holds_things = any(each.queues for each in hooks.tables()) or any(
        isinstance(each, Inbox) for each in hooks.lifespan_records()
    )
    yield Rule(  # the core itself shows the health of destinations
        "silver",
        "shows the problems that need a person",
        not holds_things or bool(hooks.health_checks() or hooks.attention()),
        "add an attention source or a health check: entries its queue gave up stay unseen",
    )
    documentation = getattr(plugin_class, "Settings", None).__doc__ or ""
    yield Rule(
        "silver",
        "settings are explained",
        bool(documentation.strip()) or not _fields(plugin_class),
        "write a docstring for Settings: each key, its unit, its default",
    )
    yield Rule(
        "silver",
        "names the gateway it needs",
        _names_gateway(plugin.distribution),
        f'depend on "{DISTRIBUTION}>=…": pip then refuses an older gateway',
    )


def _gold(plugin: InstalledPlugin, plugin_class: type) -> Iterator[Rule]:
    metadata = importlib.metadata.metadata(plugin.distribution).json
    has_licence = bool(metadata.get("license_expression") or metadata.get("license"))
    yield Rule("gold", "has a licence", has_licence, "set license in pyproject.toml")
    text = str(metadata.get("description") or "")
    yield Rule(
        "gold",
        "has a README",
        len(text.strip()) >= _README_CHARACTERS,
        "set readme in pyproject.toml: for whom it is, how to install it, what it needs",
    )
    yield Rule(
        "gold",
        "says where to ask",
        bool(metadata.get("project_url")),
        "set [project.urls] in pyproject.toml: an address for questions and changes",
    )
    shown = {"pages", "panels"}.intersection(implemented_hooks(plugin_class))
    lacking = [language for language in LANGUAGES if shown and not _has(plugin_class, language)]
    yield Rule(
        "gold",
        "pages are translated",
        not lacking,
        f"translate its pages into {', '.join(lacking)}: see docs/how-to/add-a-page.md",
    )


def _routes(alone: Gateway) -> Iterator[tuple[str, str]]:
    for router in alone.hooks.http_routers():
        for route in router.routes:
            for handler in getattr(route, "route_handlers", ()):
                text = handler.fn.__doc__ or ""
                yield f"{'/'.join(sorted(handler.http_methods))} {route.path}", text.strip()


def _folders(plugin_class: type) -> list[Path]:
    package = sys.modules[plugin_class.__module__.partition(".")[0]]
    return [Path(each) for each in getattr(package, "__path__", ())]


def _fields(plugin_class: type) -> Sequence[str]:
    return getattr(getattr(plugin_class, "Settings", None), "__struct_fields__", ())


def _names_gateway(distribution: str) -> bool:
    if distribution == DISTRIBUTION:
        return True
    wanted = importlib.metadata.requires(distribution) or ()
    return any(re.match(rf"{DISTRIBUTION}\b.*(>=|~=|==)", each) for each in wanted)


def _has(plugin_class: type, language: str) -> bool:
    return any(
        list((folder / "locales" / language / "LC_MESSAGES").glob("*.mo"))
        for folder in _folders(plugin_class)
    )


def shown(score: Score) -> dict[str, object]:
    """Return a score for ``--json`` and for the terminal."""
    return {
        "score": score.level,
        "rules": [
            {
                "level": each.level,
                "rule": each.name,
                "holds": each.holds,
                "advice": None if each.holds else each.advice,
            }
            for each in score.rules
        ],
    }


score_option: Final = click.option(
    "--score", "with_score", is_flag=True, help="Say how far it has come: bronze, silver, gold."
)
