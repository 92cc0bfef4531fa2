"""The states, provinces and territories of the United States and Canada, by code and by name."""

from typing import Final

_CODES: Final = (
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj "
    "nm ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa wv wi wy dc pr vi gu as mp aa ae ap "
    "ab bc mb nb nl nf ns nt nu on pe qc pq sk yt"
)
_NAMES: Final = (
    "alabama,alaska,arizona,arkansas,california,colorado,connecticut,delaware,florida,georgia,"
    "hawaii,idaho,illinois,indiana,iowa,kansas,kentucky,louisiana,maine,maryland,massachusetts,"
    "michigan,minnesota,mississippi,missouri,montana,nebraska,nevada,new hampshire,new jersey,"
    "new mexico,new york,north carolina,north dakota,ohio,oklahoma,oregon,pennsylvania,"
    "rhode island,south carolina,south dakota,tennessee,texas,utah,vermont,virginia,washington,"
    "west virginia,wisconsin,wyoming,district of columbia,puerto rico,alberta,british columbia,"
    "manitoba,new brunswick,newfoundland and labrador,newfoundland,nova scotia,"
    "northwest territories,nunavut,ontario,prince edward island,quebec,"
    "qu\N{LATIN SMALL LETTER E WITH ACUTE}bec,saskatchewan,yukon"
)
_REGIONS: Final = frozenset({*_CODES.split(" "), *_NAMES.split(",")})


def is_region(text: str) -> bool:
    """Return whether a text is one of them."""
    folded = text.strip().casefold().rstrip(".")
    return folded in _REGIONS
