"""What a command prints, and how it ends: :mod:`gateway.sdk.cli`."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from decimal import Decimal

import click
import pytest
from click.testing import CliRunner

from gateway.errors import InvalidInput, Problem, SettingsError
from gateway.sdk.cli import Session, command

NESTED = {
    "id": "pkg_1",
    "late": True,
    "copay": Decimal("12.50"),
    "data": {"site": None, "proof": {"lat": 1.5}, "tags": ["a", "b"], "none": [], "empty": {}},
    "tries": [{"number": 1, "ok": False}, {"number": 2, "ok": True}],
}


@asynccontextmanager
async def opener(config):
    yield f"a gateway of {config}"


@pytest.fixture
def run():
    """Run a command that does what it is given with its session."""

    def run(*words, work):
        @command("try")
        async def made(session):
            work(session)

        return CliRunner().invoke(made, words, obj=Session(opener), catch_exceptions=False)

    return run


def test_a_record_is_shown_a_field_a_line_and_its_lists_as_tables(run):
    assert run(work=lambda session: session.record(NESTED)).stdout.splitlines() == [
        "id              pkg_1",
        "late            yes",
        "copay           12.50",
        "data.site       -",
        "data.proof.lat  1.5",
        "data.tags       a, b",
        "data.none       -",
        "data.empty      {}",
        "",
        "number  ok",
        "1       no",
        "2       yes",
    ]


def test_a_record_as_json_is_one_object_as_given(run):
    result = run("--json", work=lambda session: session.record(NESTED))

    assert result.stdout.count("\n") == 1
    assert '"copay":12.50' in result.stdout
    assert json.loads(result.stdout)["data"]["proof"] == {"lat": 1.5}


def test_a_table_is_as_wide_as_its_contents(run):
    rows = [{"id": "a", "created_at": "now", "x": 1}, {"id": "bcd", "created_at": None}]

    result = run(work=lambda session: session.table(["id", "created_at"], rows))

    assert result.stdout.splitlines() == ["id   created at", "a    now", "bcd  -"]


def test_a_table_without_rows_says_so(run):
    assert run(work=lambda session: session.table(["id"], [])).stdout == "Nothing to show.\n"
    assert run("--json", work=lambda session: session.table(["id"], [])).stdout == "[]\n"


def test_a_table_as_json_holds_whole_objects(run):
    result = run("--json", work=lambda session: session.table(["id"], [{"id": 1, "more": "x"}]))

    assert json.loads(result.stdout) == [{"id": 1, "more": "x"}]


def test_control_characters_are_escaped_for_a_person(run):
    text = "é\x1b]0;owned\x07\u202e\nend"

    result = run(work=lambda session: session.record({"name": text}))

    assert result.stdout == "name  é\\x1b]0;owned\\x07\\u202e\\nend\n"


def test_a_line_is_text_or_json(run):
    assert run(work=lambda session: session.line({"id": 1}, "one")).stdout == "one\n"
    assert run("--json", work=lambda session: session.line({"id": 1}, "one")).stdout == (
        '{"id":1}\n'
    )


def test_what_is_said_stays_out_of_json(run):
    assert run(work=lambda session: session.say("done")).stdout == "done\n"
    result = run("--json", work=lambda session: session.say("done"))
    assert (result.stdout, result.stderr) == ("", "done\n")


def test_an_error_ends_with_1_and_its_reason(run):
    details = [Problem("is required", field="name"), Problem("is not a site", index=1)]

    def fails(session):
        raise InvalidInput("The order has faults.", details)

    result = run(work=fails)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: The order has faults.\n  name: is required\n  is not a site\n"
    )


def test_a_single_wrong_setting_is_reported_once(run):
    def fails(session):
        place = "gateway.toml: [redis] url: missing"
        raise SettingsError("gateway.toml has 1 problem: …", [Problem(place, field="[redis] url")])

    assert run(work=fails).stderr == "gateway: gateway.toml has 1 problem: …\n"


def test_several_wrong_settings_are_all_reported(run):
    details = [
        Problem("gateway.toml: [redis] url: missing", field="[redis] url"),
        Problem("gateway.toml: [gateway] port: expected text", field="[gateway] port"),
    ]

    def fails(session):
        raise SettingsError("gateway.toml has 2 problems: …; …", details)

    assert run(work=fails).stderr.splitlines() == [
        "gateway: gateway.toml has 2 problems:",
        "  [redis] url: missing",
        "  [gateway] port: expected text",
    ]


def test_the_gateway_that_is_opened_is_the_one_of_the_configuration(tmp_path):
    seen = []

    @command("try")
    @click.argument("name")
    @click.option("--loud", is_flag=True, help="Shout.")
    async def made(session, *, name, loud):
        """Try it."""
        async with session.gateway() as gateway:
            seen.append((gateway, name, loud))

    words = ["x", "--loud", "--config", "a.toml"]
    result = CliRunner().invoke(made, words, obj=Session(opener), catch_exceptions=False)

    assert result.exit_code == 0
    assert seen == [("a gateway of a.toml", "x", True)]
    assert [each.name for each in made.params] == ["name", "loud", "config", "json"]


def test_a_command_outside_of_a_session_is_a_mistake_of_its_author():
    @command("try")
    async def made(session):
        """Try it."""

    with pytest.raises(RuntimeError, match="below the group"):
        CliRunner().invoke(made, ["--json", "--config", "x"], catch_exceptions=False)


def test_without_uvloop_the_standard_loop_will_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)

    result = run(work=lambda session: session.say(type(asyncio.get_running_loop()).__module__))

    assert result.stdout.startswith("asyncio.")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no uid")
def test_the_audit_trail_names_the_uid_whatever_the_environment_says(monkeypatch):
    import pwd

    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")

    assert Session(opener).actor == f"cli:{os.getuid()}"
    assert Session(opener).caller("acme").name == pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no uid")
def test_a_user_without_a_name_still_has_a_uid(monkeypatch):
    import pwd

    def missing(_uid):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", missing)

    assert Session(opener).user_name == "unknown"
    assert Session(opener).actor == f"cli:{os.getuid()}"


def test_a_command_may_do_everything_but_reveals_only_when_it_is_asked_to():
    masked, revealing = Session(opener).caller("acme"), Session(opener).caller("acme", reveal=True)

    assert masked.kind == "cli"
    assert masked.may("keys.manage")
    assert masked.may("acme_erp.sync")
    assert not masked.may("reveal.contact")
    assert revealing.may("reveal.contact")
    assert revealing.may("reveal.rx")
