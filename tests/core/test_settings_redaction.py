"""gateway.toml in a backup: whole and readable, and no secret in it."""

import tomllib

import pytest
from shape.tree import ROOT

from gateway.settings.redaction import REDACTED, redacted

TOML = """
# the pharmacy's gateway; hunter2 is the password
[database]
url = "postgresql+asyncpg://gateway:hunter2@db.example.com:5432/gateway"
[redis]
url = { env = "REDIS_URL" }
[security]
master_key = "index AAAA"
[http]
tls_cert = "cert.pem"
tls_key = "key.pem"
[plugins.acme]
api_token = 'p/a?s@s'
callback = "https://host.example.com/orders"
[[plugins.acme.stores]]
secret = "s3cret"
[[sites]]
code = "main"
name = "Lakeside"
"""


def test_secrets_are_named_and_taken_out_and_everything_else_stays():
    text, named = redacted(TOML)

    for secret in ("hunter2", "AAAA", "p/a?s@s", "s3cret"):
        assert secret not in text
    assert named == [
        "[database] url",
        "[security] master_key",
        "[plugins.acme] api_token",
        "[plugins.acme.stores] secret",
    ]
    read = tomllib.loads(text)
    assert read["database"]["url"] == (
        f"postgresql+asyncpg://gateway:{REDACTED}@db.example.com:5432/gateway"
    )
    assert read["redis"] == {"url": {"env": "REDIS_URL"}}
    assert read["http"] == {"tls_cert": "cert.pem", "tls_key": "key.pem"}
    assert read["plugins"]["acme"]["callback"] == "https://host.example.com/orders"
    assert read["sites"] == [{"code": "main", "name": "Lakeside"}]


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*/gateway.toml")), ids=str)
def test_a_file_without_secrets_stays_as_it_is(path):
    text = path.read_text("utf-8")

    assert redacted(text) == (text, [])


def test_a_password_with_reserved_characters_is_found():
    text, named = redacted('[redis]\nurl = "redis://:a/b?c@d@127.0.0.1/0"\n')

    assert text == f'[redis]\nurl = "redis://:{REDACTED}@127.0.0.1/0"\n'
    assert named == ["[redis] url"]


def test_a_secret_that_cannot_be_taken_out_is_refused():
    with pytest.raises(ValueError, match="escapes"):
        redacted('[plugins.acme]\nsecret = "a\\u0062c"\n')


def test_a_file_that_is_no_toml_is_refused():
    with pytest.raises(ValueError, match="Expected"):
        redacted("[database\n")
