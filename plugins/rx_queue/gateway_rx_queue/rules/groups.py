"""Groups of drugs: shared allergies, and therapies of which a patient gets one. Data.

Members are ingredients (a name ending in ``*`` stands for all that begin with it), names are what
allergy lists say, English and French. The allergy groups follow the classes of the product
monographs in Health Canada's DPD; related drugs of penicillins are the cephalosporins with the
same side chain (https://www.canada.ca/en/public-health/services/infectious-diseases.html and
Khan et al., J Allergy Clin Immunol 2022;150:1333). Other plugins add groups through
``rx_queue.allergy_groups``.
"""

from typing import Final

from gateway_rx_queue.model import AllergyGroup


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _group(
    name: str,
    members: str,
    names: str = "",
    related: str = "",
    *,
    one_at_a_time: bool = False,
    is_allergy: bool = True,
) -> AllergyGroup:
    return AllergyGroup(
        name=name,
        members=tuple(members.split()),
        names=tuple(each.strip() for each in names.split(",") if each.strip()),
        related=tuple(related.split()),
        one_at_a_time=one_at_a_time,
        is_allergy=is_allergy,
    )


STOCK_GROUPS: Final = (
    _group(
        "penicillins",
        "penicillin amoxicillin ampicillin cloxacillin dicloxacillin flucloxacillin piperacillin "
        "ticarcillin pivampicillin pivmecillinam",
        "penicillin, penicilline, pen, pcn, beta lactam, betalactam, betalactamine",
        related="cephalexin cefalexin cefaclor cefadroxil cefprozil",
    ),
    _group(
        "cephalosporins",
        "cef* cephalexin cephalothin cephradine",
        "cephalosporin, cephalosporine, cefalosporine, beta lactam, betalactam, betalactamine",
    ),
    _group(
        "sulfonamide antibiotics",
        "sulfamethoxazole sulfadiazine sulfasalazine sulfisoxazole sulfacetamide",
        "sulfa, sulfas, sulpha, sulfonamide, sulfamide, sulfamides, sulfonamides",
    ),
    _group(
        "NSAIDs",
        "acetylsalicylic ibuprofen naproxen diclofenac ketorolac indomethacin meloxicam celecoxib "
        "ketoprofen piroxicam sulindac flurbiprofen nabumetone etodolac mefenamic diflunisal "
        "oxaprozin",
        "nsaid, nsaids, ains, anti inflammatoire, anti inflammatory, salicylate, salicylates, "
        "acetylsalicylic",
        one_at_a_time=True,
    ),
    _group(
        "opioids",
        "codeine morphine hydromorphone oxycodone hydrocodone",
        "opioid, opioids, opioide, opioides, opiate, opiates, opiace, opiaces, narcotic, narcotics",
    ),
    _group(
        "macrolides",
        "erythromycin clarithromycin azithromycin",
        "macrolide, macrolides",
    ),
    _group(
        "quinolones",
        "ciprofloxacin levofloxacin moxifloxacin norfloxacin ofloxacin",
        "quinolone, quinolones, fluoroquinolone, fluoroquinolones",
    ),
    _group("tetracyclines", "doxycycline minocycline tetracycline", "tetracycline, tetracyclines"),
    _group(
        "aminoglycosides",
        "gentamicin tobramycin neomycin amikacin streptomycin framycetin",
        "aminoglycoside, aminoglycosides, aminoside, aminosides",
    ),
    _group(
        "statins",
        "atorvastatin rosuvastatin simvastatin pravastatin lovastatin fluvastatin",
        "statin, statins, statine, statines",
        one_at_a_time=True,
    ),
    _group(
        "ACE inhibitors",
        "ramipril enalapril lisinopril perindopril quinapril captopril fosinopril trandolapril "
        "benazepril cilazapril",
        "ace inhibitor, ace inhibitors, acei, ieca",
        one_at_a_time=True,
    ),
    _group(
        "angiotensin receptor blockers",
        "losartan valsartan candesartan irbesartan telmisartan olmesartan eprosartan azilsartan",
        "arb, arbs, ara, sartan, sartans",
        one_at_a_time=True,
    ),
    _group(
        "proton pump inhibitors",
        "omeprazole esomeprazole pantoprazole lansoprazole dexlansoprazole rabeprazole",
        "ppi, ppis, ipp",
        one_at_a_time=True,
    ),
    _group(
        "SSRIs",
        "citalopram escitalopram sertraline fluoxetine paroxetine fluvoxamine",
        "ssri, ssris, isrs",
        one_at_a_time=True,
    ),
    _group(
        "benzodiazepines",
        "lorazepam diazepam clonazepam alprazolam oxazepam temazepam triazolam bromazepam "
        "nitrazepam clobazam chlordiazepoxide flurazepam",
        "benzodiazepine, benzodiazepines, benzo, benzos",
        one_at_a_time=True,
    ),
    _group(
        "oral anticoagulants",
        "warfarin apixaban rivaroxaban dabigatran edoxaban acenocoumarol",
        one_at_a_time=True,
        is_allergy=False,
    ),
    _group(
        "sulfonylureas",
        "gliclazide glyburide glimepiride tolbutamide chlorpropamide",
        "sulfonylurea, sulfonylureas, sulfonyluree",
        one_at_a_time=True,
    ),
)

NO_ALLERGIES: Final = frozenset(
    {
        "nka",
        "nkda",
        "nil",
        "none",
        "no known",
        "none known",
        "no allergies",
        "0",
        "no known allergies",
        "no known drug allergies",
        "no known allergy",
        "no known drug allergy",
        "aucune",
        "aucune connue",
        "aucune allergie",
        "neant",
        "aucune allergie connue",
    }
)
"""The texts of a list for a patient without allergies."""

NO_DRUGS: Final = _words(
    "peanut peanuts arachide arachides nut nuts noix egg eggs oeuf oeufs milk lait latex bee "
    "wasp abeille guepe pollen dust poussiere cat cats chat dog dogs chien shellfish "
    "crustaces fish poisson soy soya wheat ble gluten strawberry strawberries fraises nickel "
    "grass ragweed mold moisissures shrimp crevettes kiwi banana sesame mustard moutarde tape "
    "adhesive adhesif"
)
"""Foods and other causes: known allergies that aren't drugs."""
