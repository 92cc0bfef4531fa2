"""Every query on behalf of a caller has the tenant filter: account, mode and site."""

import inspect
import re
from pathlib import Path

import pytest
from core.storage.rows import NOW, SEALER, stores
from sqlalchemy import event

import gateway
from gateway.model.account import Caller
from gateway.storage.retention.erasure import erase_finished
from gateway.storage.schema import idempotency, packages
from gateway.storage.stores.delivery_log import AttemptFilter, DeliveryFilter
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.tenancy import visible_to

CALLER = Caller("tenant_a", "test", "key_1", frozenset({"site_b"}))
# Further arguments of each method that acts for a caller.
ARGUMENTS = {
    "accounts.names": (["key_1", "per_1"],),
    "packages.get": ("pkg_1",),
    "packages.page": (PackageFilter(10),),
    "packages.search": ("rx_number", "RX-1"),
    "packages.count": (["created"],),
    "packages.find": ({"rx_number": b"x"},),
    "packages.hits": ({"rx_number": "RX-1"},),
    "packages.of_ids": (["pkg_1"],),
    "packages.release_orders": (["pkg_1"],),
    "packages.standing": (["pkg_1"],),
    "events.get": ("evt_1",),
    "events.newest_of": (["pkg_1"], ["package.created"]),
    "events.occurred": (),
    "events.of_subject": ("pkg_1",),
    "events.page": (),
    "destinations.get": ("dst_1",),
    "destinations.list": (),
    "log.counts": (),
    "log.counts_between": (["dst_1"], [NOW, NOW]),
    "log.counts_of_each": (["dst_1"], NOW),
    "log.get": ("dlv_1",),
    "log.page": (),
    "log.search": (DeliveryFilter(10),),
    "log.timings": ("dst_1",),
    "log.attempts_page": (AttemptFilter(10, destination_id="dst_1"),),
}
OPTIONS = {
    "packages.search": {"limit": 10},
    "packages.find": {"limit": 10},
    "packages.hits": {"limit": 10},
    "events.occurred": {"since": NOW, "until": NOW, "types": ["package.created"]},
    "log.timings": {"since": NOW, "most": 10},
    "events.page": {"limit": 10},
    "log.page": {"limit": 10, "state": "pending"},
}
# Their first statement finds where a page ends, by the account alone; the second reads the page.
ENDS_FIRST = {"log.search"}
# People and keys are of an account, not of a mode or a site.
OF_AN_ACCOUNT = {"accounts.names"}
# Their first statement finds the caller's own destinations; the second counts at these.
OWN_FIRST = {"log.counts_between", "log.counts_of_each"}


def acting_for_a_caller():
    """Find the stores' methods with a parameter ``caller`` that read or write the database."""
    for name, store in stores()._asdict().items():
        for method, function in inspect.getmembers(store, inspect.ismethod):
            parameters = inspect.signature(function).parameters
            if {"connection", "caller"} <= set(parameters) and not method.startswith("_"):
                yield f"{name}.{method}"


def test_how_to_call_each_method_that_acts_for_a_caller_is_known():
    assert sorted(acting_for_a_caller()) == sorted(ARGUMENTS)


@pytest.fixture
async def statements(database, connection):
    """The values of every statement that the test executes."""
    seen = []

    def note(_connection, _cursor, _statement, parameters, _context, _many):
        seen.append(list(parameters))

    for engine in {database._writer.sync_engine, database._reader.sync_engine}:
        event.listen(engine, "before_cursor_execute", note)
    return seen


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
async def test_a_method_that_acts_for_a_caller_filters_by_its_tenant(name, connection, statements):
    store, method = name.split(".")
    function = getattr(getattr(stores(), store), method)

    await function(connection, CALLER, *ARGUMENTS[name], **OPTIONS.get(name, {}))

    assert statements
    end = 1 if name in OWN_FIRST else None
    for values in statements[name in ENDS_FIRST : end]:
        wanted = {"tenant_a"} if name in OF_AN_ACCOUNT else {"tenant_a", "test", "site_b"}
        assert wanted <= set(map(str, values)), name


async def test_erasing_on_request_filters_by_the_callers_tenant(connection, statements):
    await erase_finished(connection, SEALER, CALLER, ["pkg_1"], NOW)

    assert {"tenant_a", "test", "site_b"} <= set(map(str, statements[0]))


def test_no_query_compares_a_callers_mode_or_site_by_hand():
    root = Path(gateway.__file__).parent
    by_hand = re.compile(r"\.c\.(mode|site)\s*==\s*caller\.")
    found = [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*.py"))
        if by_hand.search(path.read_text("utf-8")) and path.name != "tenancy.py"
    ]

    assert found == []


def test_a_caller_of_every_site_is_not_filtered_by_site():
    assert len(visible_to(Caller("tenant_a", "live", "key_1"), packages)) == 2
    assert len(visible_to(CALLER, packages)) == 3


def test_a_table_without_a_site_is_not_open_to_a_caller_of_one_site():
    with pytest.raises(KeyError):
        visible_to(CALLER, idempotency)
