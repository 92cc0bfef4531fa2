"""The search box: the typed text is never in a URL, its result is behind a token."""

from gateway.dashboard.package_search import PackageSearch
from gateway.errors import InvalidInput, Problem
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template

_READ = "packages.read"
_MAX_TEXT = 200


def search_pages(gateway: Gateway) -> list[Page]:
    """Make the page, which phones show instead of the box."""
    search = _Search(PackageSearch(gateway))
    return [
        Page(
            path="search",
            title="Search",
            permission=_READ,
            handler=search.show,
            actions=(Action(path="", permission=_READ, handler=search.find),),
        )
    ]


class _Search:
    def __init__(self, packages: PackageSearch) -> None:
        self._packages = packages

    async def show(self, request: PageRequest) -> Template:
        del request
        return Template("search.html")

    async def find(self, request: PageRequest) -> SeeOther:
        """Open the only package found; several, or none, are shown by a token."""
        sought = " ".join((await request.form()).get("q").split())
        if not 0 < len(sought) <= _MAX_TEXT:
            raise InvalidInput(
                "There is nothing to search for.",
                [
                    Problem(
                        "write an Rx number, a phone number, a patient id or an order id", field="q"
                    )
                ],
            )
        found = await self._packages.only(request.caller, sought)
        if found is not None:
            return SeeOther(f"packages/{found}")
        return SeeOther(f"packages?found={await request.remember(sought)}")
