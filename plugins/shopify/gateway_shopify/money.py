"""The amount that is left to collect at the door, from an order's money fields. Pure.

``total_outstanding`` is a bare number. A shop that sells in several currencies has a shop
currency, in which the pharmacy counts, and a presentment currency, in which the customer pays
(https://shopify.dev/docs/api/admin-rest/latest/resources/order).
"""

from decimal import Decimal
from typing import Final

from gateway.plugin import Problem
from gateway_shopify.schema import ShopifyOrder

_NOTHING: Final = Decimal("0.00")


def copay_of(sent: ShopifyOrder, warnings: list[Problem], remarks: list[Problem]) -> Decimal | None:
    """Return the amount to collect in the shop's currency; ``None`` if the order has none.

    Authorized money is on the customer's card already; the shop charges it on capture.
    """
    if sent.is_paid:
        return _NOTHING
    outstanding = _outstanding(sent)
    if sent.financial_status == "authorized":
        if outstanding:
            text = "the customer's card is authorized for the amount; nothing is to be collected"
            remarks.append(Problem(text, field="copay_amount"))
        return _NOTHING
    if outstanding is None or outstanding == _NOTHING or not _is_foreign(sent):
        return outstanding
    amount = _in_shop_currency(sent, outstanding)
    if amount is None:
        text = "the currency of the amount to collect is unknown; it was left out"
        warnings.append(Problem(text, field="copay_amount"))
    else:
        text = "the customer pays in another currency; the amount is in the shop's currency"
        remarks.append(Problem(text, field="copay_amount"))
    return amount


def is_amount_unclear(sent: ShopifyOrder) -> bool:
    """Return whether money is left to collect in an unknown currency."""
    outstanding = _outstanding(sent)
    return bool(
        outstanding
        and not sent.is_paid
        and sent.financial_status != "authorized"
        and _is_foreign(sent)
        and _in_shop_currency(sent, outstanding) is None
    )


def _outstanding(sent: ShopifyOrder) -> Decimal | None:
    amount = sent.total_outstanding
    return None if amount is None else max(amount, _NOTHING)


def _is_foreign(sent: ShopifyOrder) -> bool:
    currencies = {sent.currency, sent.presentment_currency}
    for each in (sent.total_outstanding_set, sent.current_total_price_set, sent.total_price_set):
        for money in (each.shop_money, each.presentment_money) if each else ():
            currencies.add(money.currency_code if money else None)
    return len(currencies - {None, ""}) > 1


def _in_shop_currency(sent: ShopifyOrder, outstanding: Decimal) -> Decimal | None:
    """Return the amount in the shop's currency, if the order's other amounts tell it."""
    exact = sent.total_outstanding_set
    if exact is not None and exact.shop_amount is not None:
        return exact.shop_amount
    readings = set()
    for each in (sent.current_total_price_set, sent.total_price_set):
        if each is None or each.shop_amount is None:
            continue
        if outstanding in {each.shop_amount, each.presentment_amount}:
            readings.add(each.shop_amount)
    return readings.pop() if len(readings) == 1 else None
