"""The search box: what is typed never stands in a URL, its result is behind a token."""

from gateway.errors import InvalidInput, Problem
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template

_READ = "packages.read"
_MAX_TEXT = 200


def search_pages() -> list[Page]:
    """Make the page, which phones have in place of the box."""
    return [
        Page(
            path="search",
            title="Search",
            permission=_READ,
            handler=_show,
            actions=(Action(path="", permission=_READ, handler=_find),),
        )
    ]


async def _show(request: PageRequest) -> Template:
    del request
    return Template("search.html")


async def _find(request: PageRequest) -> SeeOther:
    sought = " ".join((await request.form()).get("q").split())
    if not 0 < len(sought) <= _MAX_TEXT:
        raise InvalidInput(
            "There is nothing to search for.",
            [Problem("write an Rx number, a phone number, a patient id or an order id", field="q")],
        )
    token = await request.remember(sought)
    return SeeOther(f"packages?found={token}")
