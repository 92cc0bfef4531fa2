"""Destinations as ``route_events`` sees them: read when a plugin asks for one, without secrets."""

from collections.abc import Iterator, Mapping

from gateway.model.delivery import Destination, RoutedDestination
from gateway.sdk.records import Sink
from gateway.storage.stores.destinations import DestinationStore, Subscription


class RoutedDestinations(Mapping[str, RoutedDestination]):
    """The destinations of ``known`` by id.

    For most batches no plugin looks at a destination, and reading one may unseal its settings: so
    each is read on first access.
    """

    def __init__(
        self,
        known: Mapping[str, Subscription],
        store: DestinationStore,
        sinks: Mapping[str, Sink],
    ) -> None:
        self._known = known
        self._store = store
        self._sinks = sinks

    def __getitem__(self, destination_id: str) -> RoutedDestination:
        """Return a destination; raises ``SealError`` when its settings can't be read."""
        return routed(self._store.read(self._known[destination_id].row), self._sinks)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids."""
        return iter(self._known)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)


def routed(destination: Destination, sinks: Mapping[str, Sink]) -> RoutedDestination:
    """Return a destination as plugins see it: only the public ones of its settings."""
    sink = sinks.get(destination.sink)
    public = () if sink is None else sink.public
    return RoutedDestination(
        id=destination.id,
        name=destination.name,
        sink=destination.sink,
        site=destination.site,
        account_id=destination.account_id,
        mode=destination.mode,
        events=destination.events,
        state=destination.state,
        settings={
            name: destination.settings[name] for name in public if name in destination.settings
        },
    )
