"""Saved views of Packages: the list as a person narrowed it, under a name of their own."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from gateway.dashboard.package_groups import _
from gateway.dashboard.pages.packages import PERMISSION, cleaned, owner_of
from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.model.ids import new_id
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template, Undo
from gateway.storage.stores.saved_views import SavedView

LONGEST_NAME: Final = 40
_NO_NAME: Final = _("Give the view a name of up to 40 characters.")
_TAKEN: Final = _("You have a view of this name: choose another one.")
_ALL: Final = _("You have 12 saved views, as many as there can be: delete one first.")
_GONE: Final = _("There is no such view.")


def saved_view_pages(gateway: Gateway) -> list[Page]:
    """Return the pages that save, rename and delete a view; they open as dialogs."""
    views = SavedViews(gateway)
    return [
        Page(
            path="views/new",
            title="Save this view",
            permission=PERMISSION,
            handler=views.ask_new,
            parent="packages",
            actions=(Action(path="", permission=PERMISSION, handler=views.save),),
        ),
        Page(
            path="views/{view_id}",
            title="Change this view",
            permission=PERMISSION,
            handler=views.ask_change,
            parent="packages",
            actions=(
                Action(path="", permission=PERMISSION, handler=views.rename),
                Action(path="delete", permission=PERMISSION, handler=views.delete),
            ),
        ),
    ]


class SavedViews:
    """Writes the views of the person who asks, in the account that they are in."""

    def __init__(self, gateway: Gateway) -> None:
        self._database = gateway.database
        self._store = gateway.saved_views

    async def ask_new(self, request: PageRequest) -> Template:
        """Ask for a name for the list that the address describes."""
        query = request.given.get("query") or urlencode(request.query.pairs())
        return Template("view_new.html", {"query": cleaned(query), "most": LONGEST_NAME})

    async def save(self, request: PageRequest) -> SeeOther:
        """Save a view, and show it."""
        form, owner = await request.form(), owner_of(request)
        view = SavedView(
            new_id("view", request.now), form.get("name").strip(), cleaned(form.get("query"))
        )
        async with self._database.begin() as connection:
            _check_name(view, await self._store.of(connection, owner))
            if not await self._store.add(connection, owner, view, request.now):
                raise Conflict(_ALL)
        toast = request.text("Saved as {name}", name=view.name)
        return SeeOther(f"packages?{view.query}", toast=toast)

    async def ask_change(self, request: PageRequest) -> Template:
        """Ask for another name of a view, or whether to delete it."""
        async with self._database.read() as connection:
            views = await self._store.of(connection, owner_of(request))
        return Template("view_change.html", {"view": _one(views, request), "most": LONGEST_NAME})

    async def rename(self, request: PageRequest) -> SeeOther:
        """Give a view another name."""
        form, owner = await request.form(), owner_of(request)
        async with self._database.begin() as connection:
            views = await self._store.of(connection, owner)
            view = _one(views, request)._replace(name=form.get("name").strip())
            _check_name(view, views)
            await self._store.change(connection, owner, view)
        toast = request.text("Now called {name}", name=view.name)
        return SeeOther(f"packages?{view.query}", toast=toast)

    async def delete(self, request: PageRequest) -> SeeOther:
        """Delete a view; it can be saved again from the toast."""
        owner = owner_of(request)
        async with self._database.begin() as connection:
            view = _one(await self._store.of(connection, owner), request)
            await self._store.remove(connection, owner, view.id)
        undo = Undo("views/new", request.text("Undo"), {"name": view.name, "query": view.query})
        toast = request.text("{name} is deleted", name=view.name)
        return SeeOther(f"packages?{view.query}", toast=toast, undo=undo)


def _check_name(view: SavedView, views: Sequence[SavedView]) -> None:
    wrong = None
    if not view.name or len(view.name) > LONGEST_NAME or not view.name.isprintable():
        wrong = _NO_NAME
    elif view.name.casefold() in {each.name.casefold() for each in views if each.id != view.id}:
        wrong = _TAKEN
    if wrong is not None:
        raise InvalidInput(wrong, [Problem(wrong, field="name")])


def _one(views: Sequence[SavedView], request: PageRequest) -> SavedView:
    for each in views:
        if each.id == request.path["view_id"]:
            return each
    raise NotFound(_GONE)
