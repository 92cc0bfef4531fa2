"""A gateway that reads labels, and what a reader would have found on made-up ones."""

import os

import pytest
from gateway_labels.label_reader import need_extra
from servers_asked_for import WITHOUT

from gateway.plugin import MissingExtra

TOML = """
[limits]
reads_per_minute = 1000000
updates_requests_per_minute = 1000000
people_reads_per_minute = 1000000
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/New_York"
country = "US"
[plugins.json_api]
[plugins.labels]
"""


@pytest.fixture(scope="session")
def reads_labels():
    """Skip in one line where the libraries of the extra are missing; in CI fail."""
    try:
        need_extra()
    except MissingExtra as error:
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(error.message)
        pytest.skip(f"{WITHOUT}{error.message}")


@pytest.fixture
def toml():
    return TOML
