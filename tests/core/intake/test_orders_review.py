"""What plugins say of orders before anything is stored, and whose site an order is."""

import pytest
from core.gateways import (
    LIVE,
    TWO_SITES,
    opened,
    order,
    packages,
    sqlite_url,
    submission,
    timeline,
)

from gateway.errors import Problem
from gateway.hookspecs import hookimpl
from gateway.intake.sites import SiteDirectory
from gateway.model.account import Caller, Site
from gateway.model.order import Candidate, Review
from gateway.model.submission import Submission

OUTSIDE = Problem("outside our area", field="patient_address")


class Enriches:
    """Writes a note on each order, and remembers what it saw."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def review_orders(self, orders):
        import msgspec

        self.seen.append(list(orders))
        return [
            Review(msgspec.structs.replace(each, notes=f"{each.notes or ''}enriched"))
            for each in orders
        ]


class Warns:
    """Has something to say of every order."""

    @hookimpl
    def review_orders(self, orders):
        return [Review(warnings=(Problem("far away"),)) for _ in orders]


class Rejects:
    """Refuses the orders it was told to."""

    def __init__(self, *names):
        self.names = names
        self.seen = []

    @hookimpl
    def review_orders(self, orders):
        self.seen.extend(each.notes for each in orders)
        return [
            Review(errors=(OUTSIDE,)) if each.patient_name in self.names else None
            for each in orders
        ]


class Raises:
    """Fails whenever it is asked."""

    @hookimpl
    def review_orders(self, orders):
        raise RuntimeError(str(orders))


class SaysNothing:
    """Has an opinion on no order at all."""

    @hookimpl
    def review_orders(self, orders):
        return [None] * len(orders)


async def kept_order(gateway, package_id):
    async with gateway.database.read() as connection:
        return (await gateway.packages.get(connection, LIVE, package_id)).order


async def test_a_plugin_enriches_what_is_kept(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Enriches()]) as gateway:
        answer = await gateway.intake.accept(submission(order()))
        kept = await kept_order(gateway, answer.results[0].package_id)

    assert kept.notes == "enriched"


async def test_each_plugin_sees_what_the_one_before_it_made(tmp_path):
    second = Rejects()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Enriches(), second]) as gateway:
        await gateway.intake.accept(submission(order(notes="please be ")))

    assert second.seen == ["please be enriched"]


async def test_a_warning_comes_back_with_the_place_of_its_order(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Warns()]) as gateway:
        answer = await gateway.intake.accept(
            submission(order(patient_name=""), order(), order(patient_phone="?"))
        )

    assert [each.status for each in answer.results] == ["rejected", "created", "created"]
    assert [(each.index, each.message) for each in answer.warnings] == [
        (2, "patient_phone is not a phone number; it was left out"),
        (1, "far away"),
        (2, "far away"),
    ]


async def test_a_refused_order_leaves_no_package_and_no_event(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Rejects("Ana")]) as gateway:
        answer = await gateway.intake.accept(
            submission(order(patient_name="Ana"), order(patient_name="Bo"))
        )
        kept = await packages(gateway)

    assert [each.status for each in answer.results] == ["rejected", "created"]
    assert answer.results[0].errors == (OUTSIDE,)
    assert kept == [answer.results[1].package_id]


async def test_reasons_of_several_plugins_are_all_told(tmp_path):
    class AlsoRejects(Rejects):
        """Another one of the same mind."""

    plugins = [Rejects("Ana"), AlsoRejects("Ana"), Warns()]
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=plugins) as gateway:
        answer = await gateway.intake.accept(submission(order(patient_name="Ana")))

    assert answer.results[0].errors == (OUTSIDE, OUTSIDE)
    assert answer.warnings == (Problem("far away", index=0),)


async def test_a_plugin_that_raises_is_passed_over_and_the_others_still_run(tmp_path, caplog):
    plugins = [Raises(), Rejects("Ana"), Enriches()]
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=plugins) as gateway:
        answer = await gateway.intake.accept(
            submission(order(patient_name="Ana"), order(patient_name="Bo"))
        )
        kept = await kept_order(gateway, answer.results[1].package_id)

    assert [each.status for each in answer.results] == ["rejected", "created"]
    assert kept.notes == "enriched"
    assert gateway.hooks.failures == {("Raises", "review_orders"): 1}
    [message] = caplog.messages
    assert message.startswith(
        "plugin Raises failed in review_orders and was passed over: RuntimeError at tests/"
    )
    assert message.endswith(" in review_orders")
    assert "Ana" not in caplog.text


async def test_a_plugin_with_nothing_to_say_changes_nothing(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[SaysNothing()]) as gateway:
        answer = await gateway.intake.accept(submission(order()))

    assert (answer.results[0].status, answer.warnings) == ("created", ())


async def test_only_orders_that_passed_the_cores_rules_are_reviewed(tmp_path):
    enriches = Enriches()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[enriches]) as gateway:
        await gateway.intake.accept(submission(order(patient_name=""), order(priority="soon")))
        await gateway.intake.accept(
            Submission(LIVE, "csv", (Candidate(None, (OUTSIDE,)), Candidate(order(notes="x"))))
        )

    assert [[each.notes for each in batch] for batch in enriches.seen] == [["x"]]


NORTH_KEY = Caller("default", "live", "key_9", frozenset({"north"}))


@pytest.mark.parametrize(
    ("caller", "wanted", "site", "problem"),
    [
        (LIVE, "main", "main", None),
        (LIVE, "north", "north", None),
        (LIVE, None, None, "site is required: name one of this account's sites (main, north)"),
        (LIVE, "south", None, "name one of this account's sites (main, north)"),
        (NORTH_KEY, None, "north", None),
        (NORTH_KEY, "north", "north", None),
        (NORTH_KEY, "main", None, "this key belongs to another site"),
        (Caller("default", "live", "k", frozenset({"gone"})), None, None, "name one of"),
    ],
)
async def test_an_order_belongs_to_the_site_that_was_named_or_else_the_keys_own(
    tmp_path, caller, wanted, site, problem
):
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        answer = await gateway.intake.accept(submission(order(site=wanted), caller=caller))
        [result] = answer.results
        if problem is None:
            [event] = await timeline(gateway, result.package_id)
            assert (result.status, event.site) == ("created", site)
            assert (await kept_order(gateway, result.package_id)).site == site
        else:
            assert result.status == "rejected"
            assert [each.field for each in result.errors] == ["site"]
            assert result.errors[0].message.startswith(problem)


async def test_a_local_phone_number_is_read_as_the_sites_country_does(tmp_path):
    toml = TWO_SITES.replace('"US"', '"GB"')
    async with opened(sqlite_url(tmp_path), tmp_path, toml=toml) as gateway:
        answer = await gateway.intake.accept(
            submission(
                order(site="main", patient_phone="(416) 555-0123"),
                order(site="north", patient_phone="020 7946 0958"),
            )
        )
        phones = [
            (await kept_order(gateway, each.package_id)).patient_phone for each in answer.results
        ]

    assert phones == ["+14165550123", "+442079460958"]


def directory(*sites: Site) -> SiteDirectory:
    return SiteDirectory(sites)


def test_the_only_site_of_an_account_is_meant_when_none_is_named():
    sites = directory(Site("default", "main", "Lakeside"), Site("other", "east", "East"))

    assert sites.resolve(LIVE, None) == ("main", ())
    assert sites.known("default", "main")
    assert not sites.known("default", "east")


def test_an_account_without_sites_needs_none():
    sites = directory(Site("other", "east", "East"))

    assert sites.resolve(LIVE, None) == (None, ())
    code, [problem] = sites.resolve(LIVE, "main")
    assert code is None
    assert problem.message == (
        "this account has no sites; add [[sites]] to gateway.toml or leave site out"
    )


def test_a_country_is_the_sites_the_accounts_first_or_the_united_states():
    sites = directory(
        Site("default", "main", "Lakeside", country="CA"),
        Site("default", "north", "Northside", country="GB"),
    )

    assert sites.country("default", "north") == "GB"
    assert sites.country("default", None) == "CA"
    assert sites.country("other", None) == "US"
