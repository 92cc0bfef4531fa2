"""The one table of permissions, roles and presets."""

import pytest

from gateway.auth.roles import (
    CORE,
    LEGACY_SCOPES,
    PRESETS,
    ROLES,
    Permissions,
    only_by_command_line,
    permissions_of,
    stored,
)
from gateway.errors import InvalidInput
from gateway.model.permission import Permission

SYNC = Permission("acme_erp.sync", "Start a sync.", ("manager",))


def test_every_permission_is_named_once_and_has_a_meaning():
    names = [each.name for each in CORE]

    assert len(names) == len(set(names))
    assert all(each.meaning.endswith(".") for each in CORE)


def test_an_owner_has_every_permission_those_of_plugins_included():
    assert Permissions([SYNC]).of_role("owner") == {*(each.name for each in CORE), "acme_erp.sync"}


def test_a_plugins_permission_belongs_to_the_roles_it_declares():
    having = {role for role in ROLES if "acme_erp.sync" in Permissions([SYNC]).of_role(role)}

    assert having == {"owner", "manager"}


def test_the_roles_have_what_the_design_gives_them():
    permissions = Permissions()

    assert permissions.of_role("manager") == permissions.names
    assert permissions.of_role("dispatcher") == {
        "packages.read",
        "reveal.contact",
        "packages.update",
        "files.proof",
        "reports.money",
        "records.break_glass",
    }
    assert permissions.of_role("integrator") == {
        "webhooks.read",
        "webhooks.manage",
        "deliveries.resend",
        "events.read",
        "keys.manage",
    }
    assert permissions.of_role("privacy_officer") == {
        "audit.read",
        "reports.access",
        "reports.signatures",
    }
    assert permissions.of_role("pharmacist") == {
        "orders.create",
        "orders.amend",
        "packages.read",
        "reveal.contact",
        "reveal.rx",
        "packages.update",
        "files.proof",
        "files.rx",
        "rx.read",
        "rx.review",
        "imports.run",
        "labels.scan",
        "reports.money",
        "reports.signatures",
        "reports.access",
        "day.close",
        "records.break_glass",
    }


def test_presets_stand_for_their_permissions():
    permissions = Permissions([SYNC])

    assert permissions.scopes(["orders"]) == {"orders.create", "packages.read", "packages.update"}
    assert permissions.scopes(["integration"]) == {
        *PRESETS["orders"],
        "reveal.contact",
        "reveal.rx",
    }
    assert permissions.scopes(["agent"]) == {"rx.agent"}
    assert permissions.scopes(["webhooks", "events.read"]) == {
        "webhooks.read",
        "webhooks.manage",
        "deliveries.resend",
        "events.read",
    }
    assert permissions.scopes(["all"]) == permissions.names


@pytest.mark.parametrize("given", [[], ["orders.craete"], ["legacy"], ["acme_erp.sync"], [""]])
def test_a_scope_that_there_is_not_is_refused_with_those_that_there_are(given):
    with pytest.raises(InvalidInput) as refused:
        Permissions().scopes(given)

    assert "orders.create" in refused.value.details[0].message
    assert "craete" not in refused.value.details[0].message


def test_stored_scopes_come_back_and_legacy_is_kept_by_name():
    assert stored(frozenset({"rx.read", "orders.create"})) == "orders.create rx.read"
    assert permissions_of("orders.create rx.read") == {"orders.create", "rx.read"}
    assert permissions_of("legacy") == LEGACY_SCOPES
    assert permissions_of("") == frozenset()


def test_a_legacy_key_may_do_what_every_key_could_and_nothing_that_came_later():
    assert Permissions().names >= LEGACY_SCOPES
    assert not [each for each in LEGACY_SCOPES if only_by_command_line(each)]
    assert not LEGACY_SCOPES & {"files.rx", "files.proof", "labels.scan", "day.close"}


def test_people_keys_audit_and_exports_are_for_the_command_line():
    assert {each.name for each in CORE if only_by_command_line(each.name)} == {
        "people.manage",
        "keys.manage",
        "audit.read",
        "reports.money",
        "reports.signatures",
        "reports.access",
        "records.break_glass",
    }
