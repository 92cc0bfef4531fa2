"""Routing by content: which endpoints don't want an event, by their filters. Pure."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from gateway.plugin import Event, RoutedDestination
from gateway_webhooks.disclosure import FieldFilter, unfit_field
from gateway_webhooks.mapping import SINK, TEST_EVENT_TYPE

Filters = dict[str, FieldFilter]


def fitting(
    events: Sequence[Event],
    wanted: Mapping[str, Collection[str]],
    destinations: Mapping[str, RoutedDestination],
) -> dict[str, Collection[str]]:
    """Return the destinations to keep of each event that a filter keeps back somewhere."""
    filters = {
        destination_id: filters_of(destinations[destination_id])
        for destination_id in {each for ids in wanted.values() for each in ids}
    }
    kept: dict[str, Collection[str]] = {}
    if not any(filters.values()):
        return kept
    for event in events:
        given = wanted.get(event.id, ())
        if event.type == TEST_EVENT_TYPE.type:
            continue
        fit = [each for each in given if unfit_field(event, filters[each]) is None]
        if len(fit) < len(given):
            kept[event.id] = fit
    return kept


def filters_of(destination: RoutedDestination) -> Filters:
    """Return the filters of an endpoint; a destination of another sink has none."""
    written = destination.settings.get("filter_fields")
    if destination.sink != SINK or not written:
        return {}
    return msgspec.convert(written, Filters)
