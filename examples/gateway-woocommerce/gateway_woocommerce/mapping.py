"""Between WooCommerce's shapes and the gateway's own. Pure: a table of cases can test it."""

from typing import Final

from gateway.plugin import Candidate, IntakeResult, Order, Problem
from gateway_woocommerce.schema import Address, OrderIn, OrderOut

_MAX_METADATA: Final = 20
_MAX_CHARACTERS: Final = 200


def candidate(sent: OrderIn, site: str | None) -> Candidate:
    """Turn an order of the shop into the gateway's own; without a shipping address, to billing."""
    to = sent.shipping if sent.shipping.address_1 else sent.billing
    return Candidate(
        Order(
            patient_name=f"{to.first_name} {to.last_name}".strip(),
            patient_address=_address(to),
            patient_phone=to.phone or sent.billing.phone or None,
            external_order_id=str(sent.id),
            notes=sent.customer_note or None,
            site=site,
            metadata=_metadata(sent),
        )
    )


def _address(to: Address) -> str:
    street = ", ".join(part for part in (to.address_1, to.address_2, to.city) if part)
    return f"{street}, {to.state} {to.postcode}".strip(" ,")


def _metadata(sent: OrderIn) -> dict[str, str]:
    """Keep the shop's own fields that are short texts; those that begin with _ are internal."""
    found = {
        each.key: each.value
        for each in sent.meta_data
        if isinstance(each.value, str)
        and 0 < len(each.value) <= _MAX_CHARACTERS
        and not each.key.startswith("_")
    }
    return dict(list(found.items())[:_MAX_METADATA])


def order_out(answer: IntakeResult) -> OrderOut:
    """Turn intake's answer into the one that is sent back. No value that was sent is repeated."""
    [result] = answer.results
    return OrderOut(result.status, result.package_id, [_sentence(each) for each in result.errors])


def _sentence(problem: Problem) -> str:
    return problem.message if problem.field is None else f"{problem.field}: {problem.message}"
