"""The tenant filter: which rows a caller may see, on one page.

Every query on behalf of a caller goes through :func:`visible_to`; a test fails for one that
does not.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause

from gateway.model.account import Caller


def visible_to(caller: Caller, table: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Match the rows of ``table`` in the caller's account and mode, and of the caller's site.

    For ``query.where(*visible_to(caller, packages))``. ``table`` has the columns ``account_id``
    and ``mode``, and ``site`` where a caller may be limited to one: without that column, a
    caller of one site sees nothing by this filter and raises ``KeyError`` instead.
    """
    columns: Any = table.c
    own = (columns["account_id"] == caller.account_id, columns["mode"] == caller.mode)
    return own if caller.site is None else (*own, columns["site"] == caller.site)
