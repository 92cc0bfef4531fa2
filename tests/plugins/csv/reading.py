"""A file read to its orders without a gateway: the table and the mapping, as the importer does."""

import io
from typing import NamedTuple

import msgspec
from gateway_csv.columns.column_mappings import checked
from gateway_csv.mapping import read_row
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings

from gateway.model.order import check
from gateway.plugin import GatewayError, Order


class Outcome(NamedTuple):
    """What a file became: orders by row, errors and skipped rows by row; or why it was refused."""

    orders: dict[int, Order]
    errors: dict[int, list[str]]
    skipped: dict[int, str]
    warnings: dict[int, list[str]]
    remarks: list[str]
    ignored: list[str]
    refusal: str = ""

    @property
    def said(self):
        """The orders as plain dicts, in the order of their rows."""
        return [msgspec.to_builtins(each) for each in self.orders.values()]

    def column(self, name):
        """One field of all orders."""
        return [getattr(each, name) for each in self.orders.values()]


def read_file(file: bytes | str, country="US", columns=None, hidden=False) -> Outcome:
    """Read a file as an import of it would, up to the orders that intake would be handed."""
    content = file.encode() if isinstance(file, str) else file
    options = ImportOptions(country=country, chosen=checked(columns or {}), takes_hidden=hidden)
    table = Table(io.BytesIO(content), CsvSettings(), options)
    report = Report()
    try:
        reading, _ = table.understand(report)
    except GatewayError as refused:
        words = [refused.message, *(each.message for each in refused.details)]
        return Outcome({}, {}, {}, {}, [], [], " ".join(words))
    orders, errors, skipped, warnings = {}, {}, {}, {}
    for row in table.orders(reading.layout):
        read = read_row(row, reading)
        if read.skipped:
            skipped[row.number] = read.skipped
        elif read.errors or not (
            read.candidate.order.patient_name and read.candidate.order.patient_address
        ):
            errors[row.number] = [each.message for each in read.errors] or ["required"]
        else:
            review = check(read.candidate.order, reading.country)
            if review.errors:
                errors[row.number] = [each.message for each in review.errors]
            else:
                orders[row.number] = review.order
        if read.warnings:
            warnings[row.number] = [each.message for each in read.warnings]
    remarks = [f"{each.column or ''}: {each.message}" for each in report.out().warnings]
    return Outcome(orders, errors, skipped, warnings, remarks, reading.layout.ignored())
