"""The stock rule of controlled drugs, and their names as data. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway_rx_queue.drugs.words import drug_words, fold, stems
from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import Drug, NotChecked, Reason

NO_CATALOG: Final = "no drug catalog is loaded"
CONTROLLED_NAMES: Final = frozenset(
    stems(
        "hydromorphone dilaudid hydromorph morphine statex kadian oxycodone oxycontin oxyneo "
        "percocet oxycocet endocet codeine hydrocodone fentanyl duragesic sufentanil "
        "remifentanil alfentanil methadone metadol methadose buprenorphine suboxone butrans "
        "sublocade tramadol tramacet ultram ralivia tridural zytram tapentadol nucynta "
        "meperidine pethidine demerol opium pentazocine butorphanol nalbuphine "
        "diacetylmorphine heroin levorphanol ketamine esketamine normethadone amphetamine "
        "dextroamphetamine dexamphetamine dexedrine adderall lisdexamfetamine vyvanse "
        "methamphetamine methylphenidate ritalin concerta biphentin foquest "
        "dexmethylphenidate diazepam valium lorazepam ativan clonazepam rivotril alprazolam "
        "xanax oxazepam serax temazepam restoril triazolam bromazepam chlordiazepoxide librax "
        "clobazam clorazepate flurazepam midazolam nitrazepam mogadon estazolam zolpidem "
        "sublinox phenobarbital butalbital fiorinal secobarbital pentobarbital amobarbital "
        "meprobamate testosterone androgel delatestryl andriol nandrolone oxandrolone "
        "stanozolol methyltestosterone oxymetholone fluoxymesterone nabilone cesamet "
        "dronabinol cannabis cannabidiol tetrahydrocannabinol sativex oxybate xyrem "
        "phentermine diethylpropion mazindol diphenoxylate lomotil lenoltec empracet",
        max_words=1000,
    )
)
"""Ingredients and brands of the schedules I to V of the Controlled Drugs and Substances Act
(https://laws-lois.justice.gc.ca/eng/acts/C-38.8/), so that one is found without a catalog."""
# Tylenol #3, Tylenol no. 3, T3: with codeine.
_CODEINE_BY_NUMBER: Final = re.compile(
    r"\b(?:tylenol|acet|atasol) {0,2}(?:#|no\.?)? {0,2}[1-4]\b|\bt[1-4]s?\b"
)
_CONTROLLED_SCHEDULES: Final = ("narcotic", "controlled", "targeted", "benzodiazepine", "cdsa")


def controlled(case: RxCase) -> Iterator[Finding]:
    """Hold every controlled drug, by its schedule, its name, or the sender's mark."""
    drug, entry = case.prescription.medication, case.drug
    schedules = " ".join(entry.schedules).casefold() if entry else ""
    by_catalog = any(word in schedules for word in _CONTROLLED_SCHEDULES)
    text = " ".join(
        (
            drug.drug_text or "",
            entry.name if entry else "",
            *(ingredients_of(entry) if entry else ()),
        )
    )
    named = (set(stems(text)) | set(drug_words(text))) & CONTROLLED_NAMES
    if _CODEINE_BY_NUMBER.search(fold(drug.drug_text or "")):
        named.add("codein")
    if drug.controlled or by_catalog or named:
        evidence: dict[str, object] = {"schedules": list(entry.schedules)} if entry else {}
        if named:
            evidence["named"] = sorted(named)
        yield Reason(
            code="controlled_substance",
            field="medication.din",
            message="A controlled drug needs a pharmacist's review.",
            evidence=evidence,
        )
    elif entry is None or not entry.schedules:
        why = NO_CATALOG if not case.catalog_loaded else "the catalog has no schedule for this drug"
        yield NotChecked(f"{why}: only the name is compared with the controlled drugs")


def ingredients_of(drug: Drug) -> Sequence[str]:
    """Return the ingredients of a product."""
    return drug.ingredients or tuple(part.ingredient for part in drug.parts)
