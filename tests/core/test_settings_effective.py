"""Every setting as it is and where it comes from: no secret is among them."""

from pathlib import Path

import pytest

from gateway.settings import parse_settings
from gateway.settings.effective import HIDDEN, effective, effective_of_plugin

TOML = """
[database]
url = "postgresql+asyncpg://gateway:hunter2@db:5432/gateway"
[redis]
url = { env = "REDIS" }
[security]
master_key = "index hunter2"
[delivery]
proxy = "http://me:hunter2@proxy.example:3128"
[people.oidc]
issuer = "https://login.example.com"
client_id = "rx"
client_secret = "hunter2"
roles = { staff = "pharmacist" }
[plugins.acme]
folder = "in/orders"
retries = 3
apikey = "hunter2"
pin = "hunter2"
Authorization = "Bearer hunter2"
url = "https://me:hunter2@erp.example.com/x?token=hunter2"
blob = "hunter2hunter2hunter2hunter2"
from_env = { env = "REDIS" }
[[plugins.acme.shops]]
domain = "a.example.com"
client_secret = "hunter2"
tags = ["one", "two"]
"""


@pytest.fixture
def settings():
    environ = {"REDIS": "redis://:hunter2@cache/1", "GATEWAY_HTTP__MAX_CONNECTIONS": "7"}
    return parse_settings(TOML, source=None, directory=Path("/srv"), environ=environ)


def test_no_secret_is_shown(settings):
    found = [*effective(settings), *effective_of_plugin(settings, "acme")]

    assert "hunter2" not in repr(found)


def test_each_value_says_where_it_comes_from(settings):
    found = {(each.table, each.name): (each.value, each.origin) for each in effective(settings)}

    assert found["[http]", "max_connections"] == (7, "GATEWAY_HTTP__MAX_CONNECTIONS")
    assert found["[http]", "keep_alive_seconds"] == (75.0, "")
    assert found["[redis]", "url"] == ("redis://***@cache/1", "the environment variable REDIS")
    assert found["[security]", "master_key"] == (HIDDEN, "file")
    assert found["[people.oidc]", "client_secret"] == (HIDDEN, "file")


def test_of_a_plugins_table_only_what_looks_like_no_secret_is_shown(settings):
    found = {each.name: each.value for each in effective_of_plugin(settings, "acme")}

    assert found == {
        "folder": "in/orders",
        "retries": 3,
        "apikey": HIDDEN,
        "pin": HIDDEN,
        "Authorization": HIDDEN,
        "url": "https://***@erp.example.com/x",
        "blob": HIDDEN,
        "from_env": HIDDEN,
        "shops #1 domain": "a.example.com",
        "shops #1 client_secret": HIDDEN,
        "shops #1 tags": ("one", "two"),
    }
