"""Less frequent reasons of an import, for the catalogs: rows, columns, whole files.

``page_words.plainly`` translates them; two that a colon joins are translated in parts.
"""

from typing import Final


def _(text: str) -> str:
    """Mark a text for the catalogs."""
    return text


RARER_REASONS: Final = (
    _("the rows of one bag differ in {field}"),
    _("the row is of a bag, and names no rx number"),
    _("the row names an rx number of the bag again, and differs"),
    _("correct the rows of this order, and import all of them again"),
    _("all digits of the number"),
    _("the spreadsheet shortened the number: format the column as text, enter it again"),
    _(
        "the cell's formula has none: open the file in your spreadsheet program, save it, "
        "and import it again"
    ),
    _("correct it, or leave the cell empty"),
    _("put back what was exported"),
    _("no package was made of the row"),
    _("the row has the same {field} as row {n}, and says something else"),
    _(
        "a row with the same {field} was imported before, and it said something else; its "
        "package was not changed"
    ),
    _(
        "a new order needs an order id of its own; to change the package, cancel it and "
        "import the row with another id"
    ),
    _("enter a site's code, or leave the cell empty and name the site for the whole file"),
    _("name a [[sites]] code"),
    _("name one of your sites"),
    _("by {field} it needs no delivery any more, or is on its way"),
    _("the address has words of a note behind the street"),
    _("the cells under {field} look exchanged"),
    _("the telephone number was left out"),
    _("its day and month may be exchanged: write dates as 2026-04-20"),
    _("export the file again; its last line has no end"),
    _("the file may be cut off here: the last cell is unlike the others"),
    _("the cell can't be {field}"),
    _("it looks like {field}"),
    _("it looks like a header"),
    _("it looks like words"),
    _("it looks like a date"),
    _("it looks like an e-mail address"),
    _("it looks like a state or a province"),
    _("it goes on behind the postal code"),
    _("it is no state, province or country"),
    _("it has no letters"),
    _("it has no digits"),
    _("it is no name"),
    _("it is no number"),
    _("it is no city"),
    _("it is no postal code"),
    _("it is no part of an address"),
    _("it names no place to deliver to"),
    _("it has a telephone number or an e-mail address in it"),
    _("it has something else in it"),
    _("it has two lines"),
    _("it has no street and number"),
    _("the number of the unit is missing"),
    _("it has words that are no part of it"),
    _("it has words of a note"),
    _("its letters are garbled: export the file as CSV UTF-8 again"),
    _("its numbers are marked as a patient's"),
    _("its numbers are marked as a prescription's"),
    _("its numbers are marked as an order's"),
    _("its cells have two numbers in them"),
    _("its names have a doctor's title"),
    _("the same name stands at several addresses"),
    _("the same whole name stands at several addresses"),
    _("the same number stands at several addresses"),
    _("the same number stands at several patients"),
    _("its names have a state or a province in them"),
    _("its cells have more than a telephone number in them"),
    _("{field} has numbers like it"),
    _("its notes end with yes or no, as a column of signatures does"),
    _("its notes have a city and a postal code in them"),
    _("its notes are addresses"),
    _("its addresses have words of a note behind the street"),
    _("another column's numbers are more like postal codes"),
    _("a city or a postal code alone is no address"),
    _("the row looks like a total, not like an order; it was left out"),
    _("no date shows whether its day or its month comes first"),
    _("the row was imported before; it made no second package"),
    _("the row is a package of this gateway; it made no second"),
    _("the row is hidden in the spreadsheet (a filter, or hidden by hand)"),
    _("patient_email is not an e-mail address; it was left out"),
    _(
        "The file is a zip archive without a spreadsheet in it: unpack it, and import the "
        "spreadsheets one by one."
    ),
    _("The spreadsheet is damaged and can't be opened: export it again."),
    _(
        "The spreadsheet is protected by a password or packed in an unusual way: save it "
        "without a password and import it again."
    ),
    _(
        "The spreadsheet can't be opened: it is damaged, or protected by a password. Save it "
        "again, without a password, and import that."
    ),
    _("The spreadsheet takes too much memory: save it as CSV, or split it."),
    _("The spreadsheet takes too long to read: save it as CSV, or split it."),
    _("The file takes too long to read: split it, and import the parts."),
    _(
        "The file's text can't be read: its encoding is none we know, or it is damaged. Save "
        "it as 'CSV UTF-8' or .xlsx and import that."
    ),
    _("The file can't be read past row {n}: a quotation mark may be missing there."),
    _(
        "A quotation mark that opens in row {n} is never closed, or closes in another row: "
        "close it or take it out, and import the file again."
    ),
    _(
        "A quotation mark that opens in row {n} is not closed there: a cell of it has other "
        "rows in it. Close the mark or take it out, and import the file again."
    ),
    _(
        "Row {n} is a second header, and its columns are others than those of the first: "
        "split the file there, and import the parts."
    ),
    _("The import is at work: wait until it has ended, or stop it."),
    _("Only a file that was not imported yet can be corrected."),
    _("The file is refused as it is: answer the question of its check first."),
    _("Only a file that was not imported yet can be discarded."),
    _("There is nothing to undo: the file was not imported, or still is."),
    _("The file was imported already."),
    _("The file's site isn't clear."),
    _("There is no such encoding."),
)
"""``{field}`` and ``{n}`` stand for a field and a row's number, as in ``page_words.REASONS``."""
