"""What the rules of a place say of what happened at the door."""

import pytest

from gateway.errors import SettingsError
from gateway.model.account import Site
from gateway.model.order import Order
from gateway.model.package import DeliveryUpdate, Proof
from gateway.model.place_rules import (
    DRIVER_SIGNED,
    LEFT,
    NO_SIGNATURE,
    NOT_NAMED,
    PlaceRules,
    Places,
)

SIGNED = "https://sign.example/1.png"


def site(rules):
    return Site("default", "main", "Main", rules=rules)


def order(**more):
    return Order(patient_name="Maria  Rodriguez", patient_address="12 Queen St", **more)


def completed(notes=None, **proof):
    return DeliveryUpdate(
        package_id="pkg_1", event="delivery.completed", notes=notes, proof=Proof(**proof)
    )


@pytest.mark.parametrize(
    ("update", "broken"),
    [
        (completed(signature_url=SIGNED), ()),
        (completed(signature_url=SIGNED, signer_name="maria rodriguez"), ()),
        (completed(signature_url=SIGNED, signer_name="Ana"), (NOT_NAMED,)),
        (completed(signature_url=SIGNED, signer_relationship="neighbour"), (NOT_NAMED,)),
        (completed(signature_url=SIGNED, signer_relationship="Driver"), (DRIVER_SIGNED,)),
        (completed(), (NO_SIGNATURE,)),
        (completed(notes="hands full, said yes at the door"), ()),
        (completed(left_at="mailbox"), (LEFT,)),
        (completed(notes="standing waiver", left_at="mailbox"), (LEFT,)),
        (completed(signature_file="file_1", signer_name="B. Lee", signer_relationship="son"), ()),
    ],
)
def test_ontario_wants_the_patient_or_a_named_agent_or_a_reason(update, broken):
    agents = {"agents": "A. Lee; b. lee"}

    found = Places([site("ontario")]).broken("default", "main", order(metadata=agents), update)

    assert found == broken


def test_florida_wants_a_signature_or_a_reason_where_one_is_required():
    places = Places([site("florida")])

    assert places.broken("default", "main", order(), completed()) == ()
    required = order(requires_signature=True)
    assert places.broken("default", "main", required, completed()) == (NO_SIGNATURE,)
    assert places.broken("default", "main", required, completed(left_at="porch")) == ()


def test_a_site_without_rules_and_another_site_are_not_judged():
    assert Places([site(None)]).broken("default", "main", order(), completed()) == ()
    assert Places([site("ontario")]).broken("default", "north", order(), completed()) == ()


def test_rules_of_a_plugin_are_named_like_ours():
    quebec = PlaceRules("quebec", lambda _order, _update: ("Non.",), 10)

    assert Places([site("quebec")], [quebec]).broken("default", "main", order(), completed()) == (
        "Non.",
    )


def test_unknown_rules_stop_the_start_and_the_known_ones_are_named():
    with pytest.raises(SettingsError, match="there are florida, ontario"):
        Places([site("atlantis")])
