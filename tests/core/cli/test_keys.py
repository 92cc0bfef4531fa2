"""``gateway keys …``."""

import re

import pytest
from core.cli.stock import ACTOR

from gateway.errors import NotAuthenticated


def test_a_new_key_is_printed_once_and_lets_its_caller_in(read, stock):
    made = read("keys", "create", "--name", "store", "--site", "main")

    assert list(made) == ["id", "key", "name", "mode", "site", "scopes", "expires_at"]
    assert re.fullmatch(r"sk_live_[0-9a-f]{48}", made["key"])
    assert (made["name"], made["mode"], made["site"]) == ("store", "live", "main")
    caller = stock.do(lambda gateway: gateway.keys.authenticate(made["key"]))
    assert (caller.account_id, caller.mode, caller.actor) == ("default", "live", made["id"])
    assert (caller.kind, caller.name, caller.sites) == ("key", "store", frozenset({"main"}))


def test_text_output_says_that_the_key_is_not_shown_again(run):
    result = run("keys", "create", "--name", "store", "--test")

    assert re.fullmatch(
        r"id          key_[0-9a-f]{32}\n"
        r"key         sk_test_[0-9a-f]{48}\n"
        r"name        store\n"
        r"mode        test\n"
        r"site        -\n"
        r"scopes      orders\.create, packages\.read, packages\.update\n"
        r"expires_at  -\n"
        r"Keep the key: it is not shown again\. Callers send it in the X-API-Key header\.\n",
        result.stdout,
    )
    assert result.stderr == ""


def test_with_json_the_reminder_goes_to_stderr(run):
    result = run("keys", "create", "--name", "store", "--json")

    assert result.stdout.count("\n") == 1
    assert result.stderr.startswith("Keep the key")


def test_a_key_for_an_unknown_site_is_refused_with_the_known_ones(run, read):
    result = run("keys", "create", "--name", "store", "--site", "mian")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: There is no site of that code; this account has main, north.\n"
    )
    assert read("keys", "list") == []


def test_a_key_for_a_site_of_an_account_without_sites_is_refused(run):
    result = run("keys", "create", "--name", "store", "--site", "main", "--account", "acme")

    assert result.exit_code == 1
    assert result.stderr == (
        "gateway: This account has no sites: add one to [[sites]] in gateway.toml first.\n"
    )


def test_a_key_without_a_name_is_refused(run):
    assert run("keys", "create").exit_code == 2
    result = run("keys", "create", "--name", " ")
    assert result.exit_code == 1
    assert result.stderr == ("gateway: --name must not be empty: say who or what the key is for.\n")


def test_the_list_shows_the_beginning_of_each_key_and_no_more(read, run):
    first = read("keys", "create", "--name", "store", "--site", "main")
    other = read("keys", "create", "--name", "fax", "--test", "--account", "acme")
    rows = read("keys", "list")

    assert list(rows[0]) == list(rows[1])
    assert set(rows[0]) == {
        *("id", "account", "name", "mode", "site", "scopes", "prefix", "state"),
        *("created_at", "last_used_at", "expires_at", "revoked_at", "made_by", "party"),
    }
    assert [
        (row["id"], row["account"], row["name"], row["mode"], row["site"], row["prefix"])
        for row in rows
    ] == [
        (first["id"], "default", "store", "live", "main", first["key"][:12]),
        (other["id"], "acme", "fax", "test", None, other["key"][:12]),
    ]
    assert [row["revoked_at"] for row in rows] == [None, None]
    assert read("keys", "list", "--account", "acme") == rows[1:]
    shown = run("keys", "list").stdout
    assert first["id"] in shown
    assert first["key"] not in shown


def test_a_revoked_key_is_refused(read, stock):
    made = read("keys", "create", "--name", "store")

    revoked = read("keys", "revoke", made["id"])

    assert list(revoked) == ["id", "name", "revoked_at"]
    assert (revoked["id"], revoked["name"]) == (made["id"], "store")
    assert read("keys", "list")[0]["revoked_at"] == revoked["revoked_at"]
    with pytest.raises(NotAuthenticated):
        stock.do(lambda gateway: gateway.keys.authenticate(made["key"]))


def test_revoking_an_unknown_key_fails(run):
    result = run("keys", "revoke", "key_1")

    assert result.exit_code == 1
    assert result.stderr == "gateway: No such key; gateway keys list shows the ids.\n"


def test_the_audit_trail_names_who_made_and_ended_a_key(read, stock):
    made = read("keys", "create", "--name", "store")
    read("keys", "revoke", made["id"])

    assert stock.audited("key.created") == [(ACTOR, made["id"], None)]
    assert stock.audited("key.revoked") == [(ACTOR, made["id"], None)]


def test_a_key_has_the_scopes_it_is_given_and_an_end(read, stock):
    made = read(
        *("keys", "create", "--name", "board", "--scope", "webhooks", "--scope", "events.read"),
        *("--expires", "30"),
    )

    assert made["scopes"] == [
        "deliveries.resend",
        "events.read",
        "webhooks.manage",
        "webhooks.read",
    ]
    [row] = read("keys", "list")
    assert (row["scopes"], row["state"]) == (made["scopes"], "active")
    assert row["expires_at"] == made["expires_at"]
    caller = stock.do(lambda gateway: gateway.keys.authenticate(made["key"]))
    assert caller.permissions == set(made["scopes"])


def test_a_scope_that_there_is_not_is_refused_with_those_that_there_are(run, read):
    result = run("keys", "create", "--name", "till", "--scope", "order")

    assert result.exit_code == 1
    assert "there is no scope of that name; there are orders, integration" in result.stderr
    assert "packages.read" in result.stderr
    assert read("keys", "list") == []


def test_the_command_line_alone_gives_a_key_keys_people_and_audit(read):
    made = read("keys", "create", "--name", "admin", "--scope", "keys.manage")

    assert made["scopes"] == ["keys.manage"]


def test_narrowing_shows_what_a_key_loses_and_does_it_without_dry_run(read, run, stock):
    made = read("keys", "create", "--name", "store", "--scope", "integration")
    arguments = ("keys", "narrow", made["id"], "--scope", "orders", "--expires", "7")

    tried = run(*arguments, "--dry-run")
    assert "loses         reveal.contact, reveal.rx\n" in tried.stdout
    assert "Nothing was changed" in tried.stdout
    assert read("keys", "list")[0]["scopes"] == made["scopes"]

    done = read(*arguments)
    assert done["keeps"] == ["orders.create", "packages.read", "packages.update"]
    assert done["loses"] == ["reveal.contact", "reveal.rx"]
    [row] = read("keys", "list")
    assert (row["scopes"], row["expires_at"]) == (done["keeps"], done["expires_at"])
    caller = stock.do(lambda gateway: gateway.keys.authenticate(made["key"]))
    assert not caller.may("reveal.contact")
    assert stock.audited("key.narrowed") == [(ACTOR, made["id"], None)]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--scope", "webhooks"), 1, "A key can only be narrowed"),
        (("--expires", "30"), 1, "A key can't be given more time"),
        ((), 2, "Say what the key may still do"),
    ],
)
def test_a_key_is_never_given_more(read, run, arguments, code, sentence):
    made = read("keys", "create", "--name", "store", "--expires", "7")

    result = run("keys", "narrow", made["id"], *arguments)

    assert result.exit_code == code
    assert sentence in result.stderr
    [row] = read("keys", "list")
    assert (row["scopes"], row["expires_at"]) == (made["scopes"], made["expires_at"])


def test_an_unknown_or_revoked_key_is_not_narrowed(read, run):
    made = read("keys", "create", "--name", "store")
    read("keys", "revoke", made["id"])

    assert "No such key" in run("keys", "narrow", "key_1", "--scope", "orders").stderr
    assert "The key is revoked" in run("keys", "narrow", made["id"], "--scope", "orders").stderr


def test_a_key_of_another_party_and_of_a_person_say_so(read, run, stock):
    made = read("keys", "create", "--name", "dispatch", "--party", "Lakeside Couriers")

    assert made["party"] == "Lakeside Couriers"
    assert "Lakeside Couriers" in run("keys", "list").stdout
    assert run("keys", "keep", made["id"]).exit_code == 1  # it is no person's
