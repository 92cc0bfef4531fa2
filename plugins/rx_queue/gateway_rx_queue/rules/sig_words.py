"""The vocabulary of directions: English, French and Latin. Data of the grammar in ``sig``."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines.strip().splitlines():
        words, _, meaning = line.partition(":")
        found |= dict.fromkeys(words.split(), meaning.strip())
    return found


UNITS: Final = _table(
    """
    tab tabs tablet tablets tb comprime comprimes co cp comp cpr: tablet
    cap caps capsule capsules gelule gelules: capsule
    ml mls cc millilitre millilitres millilitre milliliter milliliters: ml
    puff puffs inhalation inhalations bouffee bouffees inh: puff
    patch patches timbre timbres: patch
    unit units unite unites iu ui: unit
    drop drops gtt gtts goutte gouttes: drop
    spray sprays vaporisation vaporisations: spray
    mg mcg g: mg
    suppository suppositories suppositoire suppositoires supp: suppository
    sachet sachets packet packets: sachet
    application applications: application
    lozenge lozenges pastille pastilles: lozenge
    tsp teaspoon teaspoons teaspoonful: teaspoon
    tbsp tablespoon tablespoons: tablespoon
    """
)
MG: Final = {"mg": Decimal(1), "g": Decimal(1000), "mcg": Decimal("0.001")}
SPOONS: Final = {"teaspoon": Decimal(5), "tablespoon": Decimal(15)}
NUMBERS: Final = {
    name: Decimal(value)
    for name, value in _table(
        """
        one un une i: 1
        two deux ii: 2
        three trois iii: 3
        four quatre: 4
        five cinq: 5
        six: 6
        seven sept: 7
        eight huit: 8
        ten dix: 10
        half demi demie: 0.5
        """
    ).items()
}
DAY: Final = frozenset({"day", "days", "daily", "jour", "jours", "j", "jr", "d", "die", "24h"})
WEEK: Final = frozenset({"week", "weeks", "weekly", "wk", "wks", "semaine", "semaines", "sem"})
MONTH: Final = frozenset({"month", "months", "monthly", "mois"})
HOUR: Final = frozenset({"h", "hr", "hrs", "hour", "hours", "heure", "heures"})
TIMES: Final = frozenset({"x", "time", "times", "fois", "f"})
PER: Final = frozenset({"a", "per", "par", "every", "each", "chaque", "/"})
OFTEN: Final = {"once": 1, "twice": 2, "thrice": 3}
DAILY: Final[Mapping[str, int]] = {
    **dict.fromkeys(("daily", "die", "qd", "od", "quotidien", "quotidiennement", "q24h"), 1),
    **dict.fromkeys(("qhs", "hs", "qam", "qpm", "nightly", "qm", "qn"), 1),
    **dict.fromkeys(("bid", "bd", "bds"), 2),
    **dict.fromkeys(("tid", "tds"), 3),
    **dict.fromkeys(("qid", "qds"), 4),
}
WEEKDAYS: Final = {
    word: place
    for place, words in enumerate(
        (
            "monday mondays mon lundi lundis",
            "tuesday tuesdays tue tues mardi mardis",
            "wednesday wednesdays wed mercredi mercredis",
            "thursday thursdays thu thurs jeudi jeudis",
            "friday fridays fri vendredi vendredis",
            "saturday saturdays sat samedi samedis",
            "sunday sundays sun dimanche dimanches",
        )
    )
    for word in words.split()
}
TIMES_OF_DAY: Final = {
    word: name
    for name, words in {
        "morning": "morning mornings am matin matins breakfast dejeuner wake waking reveil",
        "noon": "noon midday lunch midi diner noontime",
        "afternoon": "afternoon",
        "evening": "evening evenings pm supper dinner soir soirs souper",
        "bedtime": "bedtime night coucher nuit bed",
    }.items()
    for word in words.split()
}
MEALS: Final = frozenset({"meal", "meals", "repas"})
FILLERS: Final = _words(
    "take takes give use inject inhale inhaled apply place put insert instill instil chew "
    "swallow dissolve sig prendre prenez donner utiliser injecter inhaler appliquer mettre "
    "inserer instiller avaler croquer dissoudre par by mouth po per os oral orally orale "
    "bouche voie sc subcut subcutaneously subcutaneous cutanee sous im iv sl sublingual "
    "sublingually langue under tongue topically topical locally pr pv rectally vaginally "
    "nasally with without food water milk avec sans nourriture eau lait manger the le la les "
    "l un d de du des of a an at in on into to au aux en dans sur skin peau affected area "
    "region affectee and et plus full glass verre right left droit gauche droite empty "
    "stomach estomac vide jeun ac pc cc please same time meme regularly regulierement"
)
EYES: Final = frozenset({"eye", "eyes", "ear", "ears", "nostril", "nostrils"}) | frozenset(
    {"oeil", "yeux", "oreille", "oreilles", "narine", "narines"}
)
BOTH: Final = frozenset({"both", "each", "chaque", "deux"})
ASKED: Final = frozenset({"prn"})
SEPARATORS: Final = frozenset({",", ";", ".", "(", ")", ":", "+", "&", "-"})
NEED: Final = frozenset({"needed", "required", "necessary", "besoin", "necessaire"})
AIM: Final = frozenset({"for", "pour", "contre", "against", "if", "si", "when", "lorsque"})
DURATION: Final = frozenset({"for", "x", "pour", "pendant", "durant", "during", "*"})
MAX: Final = frozenset({"max", "maximum", "maximal"})
MONTH_DAYS: Final = 30
NOT_AN_AIM: Final = frozenset(
    {"then", "puis", "until", "jusqu", "every", "each", "daily", "weekly", "week", "day", "days"}
) | frozenset({"twice", "times", "fois", "jours", "semaine", "increase", "decrease", "taper"})
