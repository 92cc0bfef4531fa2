"""Add expiring links to files to the events that sinks deliver.

An event's proof names files by id (``photo_file``, ``signature_file``); a receiver gets a link
beside it (``photo_url``, ``signature_url``), made for its destination. The link is the same in each
attempt, because its time counts from the first one; a resend by hand or a recovery starts a new run
of attempts, with a new link.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from gateway.model.delivery import ClaimedDelivery, Outcome
from gateway.sdk.records import Batch, Sink
from gateway.storage.files.links import FileLinks

_LINKED: Final = (("photo_file", "photo_url"), ("signature_file", "signature_url"))


def with_file_links(sinks: Mapping[str, Sink], links: FileLinks) -> dict[str, Sink]:
    """Wrap the sinks, so that their events contain links to files."""
    return {kind: _linking(sink, links) for kind, sink in sinks.items()}


def _linking(sink: Sink, links: FileLinks) -> Sink:
    def deliver(batch: Batch) -> Awaitable[Sequence[Outcome]]:
        if any("proof" in each.event.data for each in batch.deliveries):
            linked = [linked_delivery(each, links) for each in batch.deliveries]
            batch = replace(batch, deliveries=linked)
        return sink.deliver(batch)

    return replace(sink, deliver=deliver)


def linked_delivery(delivery: ClaimedDelivery, links: FileLinks) -> ClaimedDelivery:
    """Return a delivery whose proof has links to the files it names."""
    proof = delivery.event.data.get("proof")
    if isinstance(proof, msgspec.Struct):
        proof = msgspec.to_builtins(proof, builtin_types=())
    if not isinstance(proof, Mapping):
        return delivery
    found: dict[str, Any] = {}
    for file, url in _LINKED:
        if isinstance(file_id := proof.get(file), str):
            link = links.url(file_id, delivery.destination_id, delivery.first_attempt_at)
            found |= {} if link is None else {url: link}
    if not found:
        return delivery
    data = {**delivery.event.data, "proof": {**proof, **found}}
    return msgspec.structs.replace(
        delivery, event=msgspec.structs.replace(delivery.event, data=data)
    )
