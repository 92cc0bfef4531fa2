"""Routing by content: filters, and endpoints that alone get their events. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from gateway.plugin import Destination, Event, GatewayError, RoutedDestination, matches
from gateway_webhooks.disclosure import FieldFilter, unfit_field
from gateway_webhooks.mapping import SINK, TEST_EVENT_TYPE

Filters = dict[str, FieldFilter]


def fitting(
    events: Sequence[Event],
    wanted: Mapping[str, Collection[str]],
    destinations: Mapping[str, RoutedDestination],
) -> dict[str, Collection[str]]:
    """Return the remaining destinations of each event that some endpoint must not get.

    A filter keeps an event from its own endpoint. An exclusive endpoint keeps its events from all
    others, also while it is paused or disabled: an event for one endpoint alone isn't sent
    elsewhere when that one is out of order.
    """
    seen = readable(destinations)
    filters = {
        destination_id: filters_of(seen.get(destination_id) or destinations[destination_id])
        for destination_id in {each for ids in wanted.values() for each in ids}
    }
    alone = exclusive(seen.values())
    kept: dict[str, Collection[str]] = {}
    if not alone and not any(filters.values()):
        return kept
    for event in events:
        given = wanted.get(event.id, ())
        if event.type == TEST_EVENT_TYPE.type:
            continue
        fit = [each for each in given if unfit_field(event, filters[each]) is None]
        takers = [each.id for each in alone if takes(each, event)]
        if takers:
            fit = [each for each in fit if each in takers or seen[each].sink != SINK]
        if len(fit) < len(given):
            kept[event.id] = fit
    return kept


def filters_of(destination: RoutedDestination) -> Filters:
    """Return the filters of an endpoint; a destination of another sink has none."""
    written = destination.settings.get("filter_fields")
    if destination.sink != SINK or not written:
        return {}
    return msgspec.convert(written, Filters)


def readable(destinations: Mapping[str, RoutedDestination]) -> dict[str, RoutedDestination]:
    """Return the destinations, each read once, without those whose settings can't be unsealed."""
    found = {}
    for destination_id in destinations:
        with suppress(GatewayError):  # it gets no events either
            found[destination_id] = destinations[destination_id]
    return found


def exclusive(destinations: Iterable[RoutedDestination]) -> list[RoutedDestination]:
    """Return the exclusive endpoints."""
    return [each for each in destinations if each.sink == SINK and each.settings.get("exclusive")]


def takes(endpoint: RoutedDestination, event: Event) -> bool:
    """Return whether an endpoint subscribes to an event and its filters let it through."""
    return (
        (endpoint.account_id, endpoint.mode) == (event.account_id, event.mode)
        and endpoint.site in {None, event.site}
        and matches(endpoint.events, event.type)
        and unfit_field(event, filters_of(endpoint)) is None
    )


def routed(endpoint: Destination) -> RoutedDestination:
    """Return an endpoint as the routing sees it."""
    names = ("filter_fields", "exclusive")
    return RoutedDestination(
        id=endpoint.id,
        name=endpoint.name,
        sink=endpoint.sink,
        site=endpoint.site,
        account_id=endpoint.account_id,
        mode=endpoint.mode,
        events=endpoint.events,
        state=endpoint.state,
        settings={name: endpoint.settings[name] for name in names if name in endpoint.settings},
    )
