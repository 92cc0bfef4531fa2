"""``[people.oidc]``: what is refused, and what is never shown; reading roles from claims."""

from pathlib import Path

import pytest

from gateway.auth.oidc import values_of
from gateway.errors import SettingsError
from gateway.settings import parse_settings

GOOD = """
[people.oidc]
issuer = "https://login.example.com/realms/shops"
client_id = "rx-gateway"
client_secret = "very secret"
roles = { drivers = "dispatcher" }
"""


def parsed(text):
    return parse_settings(text, source=None, directory=Path(), environ={})


def test_the_secret_is_not_shown():
    settings = parsed(GOOD)

    assert settings.people.oidc.client_secret == "very secret"
    assert "very secret" not in repr(settings)
    assert settings.people.oidc.account == "default"
    assert settings.people.oidc.roles == {"drivers": "dispatcher"}


@pytest.mark.parametrize(
    ("line", "changed", "place"),
    [
        ('"dispatcher"', '"owner"', "[people.oidc.roles] drivers"),
        ('{ drivers = "dispatcher" }', "{}", "[people.oidc.roles]"),
        ('client_secret = "very secret"', "", "[people.oidc] client_secret"),
        ('"https://login.example.com/realms/shops"', '"login.example.com"', "[people.oidc] issuer"),
    ],
)
def test_a_table_that_cant_work_is_refused(line, changed, place):
    with pytest.raises(SettingsError) as refused:
        parsed(GOOD.replace(line, changed))

    assert [each.field for each in refused.value.details] == [place]


@pytest.mark.parametrize(
    ("name", "claims", "values"),
    [
        ("groups", {"groups": ["a", "b", 7, None]}, ["a", "b"]),
        ("groups", {"groups": "a"}, ["a"]),
        ("realm.roles", {"realm": {"roles": ["a"]}}, ["a"]),
        ("https://x.example/roles", {"https://x.example/roles": ["a"]}, ["a"]),
        ("realm.roles", {"realm": "roles"}, []),
        ("groups", {"groups": {"a": 1}}, []),
        ("groups", {"groups": 7}, []),
        ("groups", {}, []),
    ],
    ids=str,
)
def test_roles_are_read_from_a_list_a_text_or_an_object(name, claims, values):
    assert values_of(claims, name) == set(values)
