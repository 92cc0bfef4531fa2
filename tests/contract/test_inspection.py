"""The contract finds what is wrong with a plugin: each fault is shown one that has it."""

import click
import msgspec
import pytest

from gateway.hookspecs import hookimpl
from gateway.model.event import EventType
from gateway.plugin import command
from gateway.testing import inspection


def test_another_version_of_the_hooks_is_found():
    for stated in (0, None):
        plugin = type("Old", (), {} if stated is None else {"api_version": stated})
        [fault] = inspection.version_faults(plugin)
        assert fault.startswith(f"speaks plugin API version {stated}, this gateway speaks 1; ")
    assert not list(inspection.version_faults(type("Fine", (), {"api_version": 1})))


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        (None, ["has no Settings: a msgspec.Struct class attribute of that name"]),
        (dict, ["has no Settings: a msgspec.Struct class attribute of that name"]),
        (
            msgspec.defstruct("Loose", []),
            [
                "Settings is not frozen=True: settings never change while the gateway runs",
                "Settings is not forbid_unknown_fields=True: a mistyped key would go unnoticed",
            ],
        ),
        (msgspec.defstruct("Fine", [], frozen=True, forbid_unknown_fields=True), []),
    ],
)
def test_settings_that_take_anything_are_found(settings, faults):
    plugin = type("Plugin", (), {"Settings": settings})

    assert list(inspection.settings_faults(plugin)) == faults


class Wrong:
    @hookimpl
    def event_recorded(self, events):
        """Misspell the name."""

    @hookimpl
    def events_recorded(self, events, colour):
        """Ask for what there is not."""

    @hookimpl
    async def route_events(self, events, wanted):
        """Wait."""

    @hookimpl
    def sinks(self):
        yield

    @hookimpl(hookwrapper=True)
    def review_orders(self):
        yield

    def jobs(self):
        """Implement no hook: the mark is missing."""


class Right:
    @hookimpl
    def events_recorded(self):
        """Take less than is given."""

    @hookimpl(specname="review_orders")
    def look_at(self, orders):
        """Go by another name."""

    @staticmethod
    def helper(anything):
        """Be no hook."""


def test_hooks_that_do_not_fit_are_found():
    assert sorted(inspection.hook_faults(Wrong)) == [
        "event_recorded is no hook; did you mean events_recorded?",
        "events_recorded takes colour, which the hook doesn't give: it gives events",
        "review_orders must be a plain function: hooks never wait",
        "review_orders wraps other plugins' hooks, which the gateway doesn't call",
        "route_events must be a plain function: hooks never wait",
        "sinks must be a plain function: hooks never wait",
    ]
    assert list(inspection.unmarked_faults(Wrong)) == [
        "jobs is named like a hook and has no @hookimpl, so it is never called"
    ]
    assert not list(inspection.hook_faults(Right))


@pytest.mark.parametrize(
    "line",
    [
        "import gateway",
        "import gateway.storage.schema as tables",
        "from gateway.model.order import Order",
        "from gateway import hooks",
        "def later():\n    from gateway.errors import NotFound",
    ],
)
def test_an_import_past_the_door_is_found(tmp_path, line):
    package = tmp_path / "acme"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "module.py").write_text(line)
    single = tmp_path / "single.py"
    single.write_text(line)

    assert len(list(inspection.import_faults(package))) == 1
    assert len(list(inspection.import_faults(single))) == 1


def test_imports_through_the_door_and_from_elsewhere_are_fine(tmp_path):
    (tmp_path / "module.py").write_text(
        "import json\nfrom gateway.plugin import Sink\nfrom gateway import plugin\n"
        "from . import inner\nfrom .gateway import x\nfrom gateway_acme import y\n"
    )

    assert not list(inspection.import_faults(tmp_path))


def event_type(**changes) -> EventType:
    fine = {
        "type": "acme.synced",
        "meaning": "An order was synced.",
        "sample": {"order_id": "1", "at": "2026-01-01T00:00:00Z"},
        "schema": {
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "at": {"type": "string", "format": "date-time"},
            },
            "required": ["order_id"],
        },
    }
    return EventType(**{**fine, **changes})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"meaning": " "}, "acme.synced has no meaning"),
        ({"type": "acme.*"}, "acme.* can't be subscribed to"),
        ({"type": "*"}, "* can't be subscribed to"),
        ({"type": "Acme Synced"}, "Acme Synced can't be subscribed to"),
        ({"sample": {}}, 'acme.synced: the sample: "order_id" is a required property'),
        ({"sample": {"order_id": 1}}, 'acme.synced: order_id: 1 is not of type "string"'),
        ({"sample": {"order_id": "1", "at": "soon"}}, "acme.synced: at: "),
        ({"schema": {"type": "thing"}}, "acme.synced has an invalid schema: "),
    ],
)
def test_an_event_type_that_does_not_fit_itself_is_found(changes, fault):
    [found] = inspection.event_type_faults([event_type(**changes)])

    assert found.startswith(fault)


def test_an_event_type_that_fits_itself_is_left_alone():
    assert not list(inspection.event_type_faults([event_type()]))


def test_commands_without_help_or_the_common_options_are_found():
    @command("fine")
    async def fine(session):
        """Do it."""

    @command("silent")
    async def silent(session):
        pass

    bare = click.Command("bare", help="Do it.", callback=lambda: None)
    group = click.Group("acme", commands=[fine, silent, bare])

    assert sorted(inspection.command_faults(group)) == [
        "acme bare takes no --config",
        "acme bare takes no --json",
        "acme has no help",
        "acme silent has no help",
    ]
    assert not list(inspection.command_faults(fine))
