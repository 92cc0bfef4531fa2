"""Bag labels for a label printer, 4 by 6 inches or a roll of 62 mm, of one or many packages."""

from typing import Final

from markupsafe import Markup

from gateway.dashboard.package_groups import _
from gateway.errors import InvalidInput, Problem
from gateway.intake.bag_labels import MAX_LABELS
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Template

SIZES: Final = ("4x6", "62mm")


def bag_label_actions(gateway: Gateway) -> tuple[Action, ...]:
    """Return the action of the list Packages; the page of one package sends its id there."""

    async def show(request: PageRequest) -> Template:
        form = await request.form()
        size = form.get("size")
        chosen = size if size in SIZES else SIZES[0]
        ids = _ids(form)
        labels = await gateway.bag_labels.of(request.caller, ids)
        shown = [(each, qr_of(each.code)) for each in labels]
        return Template(
            "bag_labels.html",
            {"labels": shown, "size": chosen, "ids": ids},
            title=request.text("Bag labels"),
        )

    return (Action(path="labels", permission=("packages.read", "reveal.contact"), handler=show),)


def qr_of(code: str) -> Markup:
    """Return a QR code as an SVG element, black on white.

    A quarter of it may be worn off (level Q): bags rub against each other.
    """
    import segno  # with the first label: few processes draw one

    image: str = segno.make(code, error="q", micro=False).svg_inline(
        scale=4, border=4, dark="#000", light="#fff", omitsize=True
    )
    return Markup(image)  # noqa: S704 - made by segno, of an id


def _ids(form: Query) -> list[str]:
    ids = list(dict.fromkeys(form.all("id")))
    if not 1 <= len(ids) <= MAX_LABELS:
        raise InvalidInput(
            _("Select packages first: at most 100 at a time."),
            [Problem(_("Check the boxes of the packages that you mean."))],
        )
    return ids
