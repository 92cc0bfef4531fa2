"""``gateway people``: the way in for the first owner, and back in for a last one."""

import asyncio
import json
import stat

import pytest
from authenticator import Authenticator
from core.auth.door import HERE

from gateway.auth.enrolment import Choice
from gateway.cli.opening import open_gateway

SITES = '[[sites]]\ncode = "main"\nname = "Lakeside"\n'


@pytest.fixture
def folder(config):
    config.write_text(SITES)
    return config.parent


def enrol(config, link=None, code=None):
    """Do what the pages do with a link or with the owner's code."""

    async def run():
        async with open_gateway(config) as gateway:
            enrolment = gateway.identity.enrolment
            set_up = (
                await enrolment.begin_owner(code, "Amara", "amara@x.example")
                if code
                else await enrolment.begin_invitation(link.partition("#")[2])
            )
            chosen = Choice(passkey=Authenticator().create(dict(set_up.options)))
            return await enrolment.finish(set_up.token, chosen, HERE, "Amara")

    return asyncio.run(run())


def printed(run, *words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_from_the_owners_code_to_a_disabled_person(run, config, folder):
    code = printed(run, "people", "owner-code")
    assert code["open"] == "http://localhost:8080/dashboard/welcome"
    enrol(config, code=code["code"])

    invited = printed(
        run, "people", "invite", "sam@x.example", "--role", "pharmacist", "--site", "main"
    )
    assert invited["link"].startswith("http://localhost:8080/dashboard/invitation#")
    assert [each["state"] for each in printed(run, "people", "list")] == ["active", "invited"]
    enrol(config, invited["link"])
    listed = printed(run, "people", "list")
    assert [(each["role"], each["sites"]) for each in listed] == [
        ("owner", "all"),
        ("pharmacist", ["main"]),
    ]
    assert printed(run, "people", "sessions", "sam@x.example", "--end")["ended"] == 1
    changed = printed(run, "people", "role", "sam@x.example", "--role", "dispatcher")
    assert (changed["role"], changed["sites"]) == ("dispatcher", "all")
    assert printed(run, "people", "disable", "sam@x.example")["state"] == "disabled"
    assert printed(run, "people", "disable", "sam@x.example", "--undo")["state"] == "active"


def test_a_last_owner_who_lost_everything_gets_a_link(run, config, folder):
    enrol(config, code=printed(run, "people", "owner-code")["code"])

    again = run("people", "owner-code")
    assert again.exit_code == 1
    assert "gateway people link" in again.stderr
    link = printed(run, "people", "link", "AMARA@x.example")["link"]

    made = enrol(config, link)
    assert made.begun.person.email == "amara@x.example"


def test_without_a_terminal_the_code_goes_into_a_file_of_the_owners(run, config, folder):
    result = run("people", "owner-code")

    path = folder / "data" / "owner-code"
    code = path.read_text().strip()
    assert str(path) in result.stdout
    assert code not in result.stdout + result.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert enrol(config, code=code)


def test_an_unknown_person_or_role_is_named_as_such(run, folder):
    assert "gateway people list shows them" in run("people", "disable", "x@x.example").stderr
    assert run("people", "invite", "x@x.example", "--role", "king").exit_code == 2
