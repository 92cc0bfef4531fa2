"""The tenant filter: which rows a caller may see, on one page.

Every query on behalf of a caller goes through :func:`visible_to`; a test fails for one that
does not.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, FromClause

from gateway.model.account import Caller


def visible_to(caller: Caller, table: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Match the rows of ``table`` in the caller's account and mode, and of the caller's sites.

    For ``query.where(*visible_to(caller, packages))``. ``table`` has the columns ``account_id``
    and ``mode``, and ``site`` where a caller may be limited to some: without that column,
    such a caller sees nothing by this filter and raises ``KeyError`` instead.
    """
    own = of_account(caller, table)
    return own if caller.sites is None else (*own, of_sites(caller.sites, table.c["site"]))


def of_account(caller: Caller, table: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Match the rows of ``table`` in the caller's account and mode, of whatever site.

    For what belongs to a row that the caller sees: the endpoints of all sites that an event of
    its own site goes to.
    """
    columns: Any = table.c
    return columns["account_id"] == caller.account_id, columns["mode"] == caller.mode


def of_sites(sites: Collection[str], column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Match the values of ``column`` among ``sites``."""
    if len(sites) == 1:  # what the indexes of one site serve
        return column == next(iter(sites))
    return column.in_(sorted(sites))
