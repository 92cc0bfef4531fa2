"""Reading a page of ``/metrics``.

Nothing here knows pytest.
"""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """The numbers of one page, by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        samples = [sample for family in self.families for sample in family.samples]
        self.numbers = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
        assert len(self.numbers) == len(samples), "a number stands there twice"

    def number(self, name: str, **labels: str) -> float | None:
        """Return one number; ``None`` where there is none."""
        return self.numbers.get((name, frozenset(labels.items())))

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """Return the numbers of one name by the value of one label."""
        return {
            dict(labels)[label]: value
            for (found, labels), value in self.numbers.items()
            if found == name
        }

    def names(self) -> set[str]:
        """Return every name that a query could ask for, whether it has a number yet or not."""
        return set(self._names())

    def _names(self) -> Iterator[str]:
        for family in self.families:
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
            for suffix in suffixes.get(family.type, ("",)):
                yield family.name + suffix
