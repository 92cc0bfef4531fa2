"""Words of drug texts in one spelling, English and French, and the synonyms of drugs. Pure.

``stems("Amoxicilline-clavulanate 875 mg")`` holds ``amoxicillin`` and ``clavulanat``. Nothing is
matched by similarity: hydroxyzine and hydralazine are two drugs
(https://ismpcanada.ca/resource/look-alike-sound-alike-drug-names/).
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

_WORD: Final = re.compile(r"[a-z]+")
# Vitamin D and vitamin K are two drugs.
_VITAMIN: Final = re.compile(r"\bvitamine? ([a-k])(?![a-z])")
_LEAST_LETTERS: Final = 3
_MAX_WORDS: Final = 40
# The size of the cache: several rules read the same text.
_TEXTS: Final = 1024


def fold(text: str) -> str:
    """Return ``text`` in lower case without accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold().replace("œ", "oe"))
    return "".join(each for each in plain if not unicodedata.combining(each))


def stem(word: str) -> str:
    """Return a folded word in the spelling that English and French share."""
    if len(word) > _LEAST_LETTERS + 2 and word.endswith("s"):
        word = word[:-1]
    if word.endswith("que"):
        return word[:-3] + "c"
    return word.removesuffix("e") if len(word) > _LEAST_LETTERS else word


@lru_cache(maxsize=_TEXTS)
def stems(text: str, max_words: int = _MAX_WORDS) -> Mapping[str, int]:
    """Return the stems of a text's words, each with the place where it begins."""
    found: dict[str, int] = {}
    for match in _WORD.finditer(_VITAMIN.sub(r"vitamin\1", fold(text))):
        if len(match.group()) >= _LEAST_LETTERS:
            found.setdefault(stem(match.group()), match.start())
        if len(found) >= max_words:
            break
    return MappingProxyType(found)


def _stemmed(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in text.split())


FORM_WORDS: Final = _stemmed(
    "aerosol aer aqueous avec and ampoule ampule bottle bouteille cap caps caplet capsule "
    "capsules cartouche cartridge chewable coated comp comprime comprimes cream creme "
    "croquable daily delayed des die disintegrating dispersible diskus dose doses drop drops "
    "drug dry effervescent elixir emulsion enrobe enteric extended eye eyes film for forme "
    "foam gel gelule gouttes goutte gtt gum hfa inhal inhalation inhaler inhalateur inj "
    "injectable injection intravenous jelly kit les liquid liquide lotion lozenge matrix "
    "metered mist modified mousse nasal nebule nebules odt oeil ointment onguent ophtalmique "
    "ophthalmic oral orale orally otic pastille patch pch pellet pen penfill per plus pommade "
    "poudre pour powder prefilled press release retard sachet seringue shampoo sol soln "
    "solution solutabs spray stylo sub sublingual subcutaneous supp suppositoire suppository "
    "susp suspension sustained sirop syringe syrup tab tablet tablets tabs tbl teva the "
    "timbre topical topique transdermal transdermique turbuhaler unit units unite unites "
    "vaginal vaporisateur vial with box each once twice hour hours heure qty strength mcg iu "
    "usp bid tid qid mdi xr sr cr xl extra free regular new adult adulte child children "
    "enfant allergic allergy allergie allergique reaction"
)
"""Words of forms, routes and packages, which don't name a drug."""

SALTS: Final = _stemmed(
    "acetate acetonide acid acide anhydrous anhydre arginine base benzoate besilate besylate "
    "bromide bromhydrate bromure calcium calcique carbonate chloride chlorhydrate chlorure "
    "citrate decanoate dihydrate dipropionate disodium edisylate enanthate erbumine ester "
    "ethanolate fumarate furoate gluconate hcl hemihydrate hydrate hydrobromide hydrochloride "
    "hydroxide lactate magnesium magnesique maleate malate medoxomil mesilate mesylate "
    "monohydrate nitrate olamine oxide palmitate pamoate phosphate potassium potassique "
    "propionate saccharate sesquihydrate sel sodique sodium stearate succinate sulfate "
    "sulphate tartrate tosylate trihydrate tromethamine undecanoate valerate xinafoate zinc"
)
"""Salts, esters and hydrates, which don't distinguish drugs."""

MAKERS: Final = _stemmed(
    "ach accel act aga alti apo auro avkare bio cobalt dom gen genmed jamp kye mar medx mint "
    "mylan nat natco novo nra nu odan pharma phl pms priva pro ran ranbaxy ratio riva sandoz "
    "sanis septa sivem sterimax sun taro teligent test teva trim van zym generic generique "
    "brand"
)
"""Prefixes of Canadian generic names."""

FAMILIES: Final = _stemmed("insulin vitamin interferon vaccine")
"""Words that several ingredients share: insulin glargine and insulin lispro."""

MODIFIERS: Final = _stemmed("combo duo forte hct plus")
"""Words that make another product of a brand: Coversyl and Coversyl Plus."""


def _synonyms(lines: str) -> Mapping[str, frozenset[str]]:
    found = {}
    for line in lines.strip().splitlines():
        names, _, meaning = line.partition(":")
        for name in names.split():
            found[stem(name)] = _stemmed(meaning)
    return found


SYNONYMS: Final = _synonyms(
    """
    aas asa aspirin aspirine entrophen: acetylsalicylic
    acetaminophen apap paracetamol tylenol tempra: acetaminophen
    adrenalin epipen: epinephrine
    advil motrin: ibuprofen
    albuterol ventolin airomir: salbutamol
    aldactone: spironolactone
    altace: ramipril
    amoxi amoxil: amoxicillin
    ativan: lorazepam
    biaxin: clarithromycin
    cardizem tiazac: diltiazem
    celexa: citalopram
    cipralex: escitalopram
    cipro: ciprofloxacin
    clav: clavulanic
    clavulanate: clavulanic
    clavulin augmentin: amoxicillin clavulanic
    cholecalciferol colecalciferol: vitamind
    coumadin: warfarin
    coversyl: perindopril
    cotrimoxazole septra bactrim sulfatrim: sulfamethoxazole trimethoprim
    cozaar: losartan
    crestor: rosuvastatin
    diamicron: gliclazide
    dilaudid hydromorph: hydromorphone
    duragesic: fentanyl
    effexor: venlafaxine
    eliquis: apixaban
    eltroxin synthroid thyroxine: levothyroxine
    endocet percocet oxycocet: oxycodone acetaminophen
    flomax: tamsulosin
    flovent: fluticasone
    frusemide lasix: furosemide
    fosamax: alendronate
    alendronic: alendronate
    glucophage: metformin
    hctz hydrodiuril: hydrochlorothiazide
    imovane: zopiclone
    januvia: sitagliptin
    keflex: cephalexin
    cefalexin: cephalexin
    lantus toujeo basaglar: insulin glargine
    lipitor: atorvastatin
    losec: omeprazole
    lyrica: pregabalin
    mtx: methotrexate
    nexium: esomeprazole
    nitro nitroglycerine trinitroglycerin: nitroglycerin
    norvasc: amlodipine
    oxycontin oxyneo: oxycodone
    pantoloc tecta: pantoprazole
    pariet: rabeprazole
    paxil: paroxetine
    penvk: penicillin
    pcn: penicillin
    plavix: clopidogrel
    pravachol: pravastatin
    prozac: fluoxetine
    rivotril: clonazepam
    seroquel: quetiapine
    singulair: montelukast
    smx: sulfamethoxazole
    sulfa: sulfamethoxazole
    symbicort: budesonide formoterol
    advair: fluticasone salmeterol
    tmp: trimethoprim
    vasotec: enalapril
    wellbutrin zyban: bupropion
    xanax: alprazolam
    xarelto: rivaroxaban
    zestril prinivil: lisinopril
    zithromax: azithromycin
    zocor: simvastatin
    zoloft: sertraline
    """
)
"""Abbreviations, other national names and common Canadian brands, with their ingredients."""


@lru_cache(maxsize=_TEXTS)
def core_words(ingredient: str) -> frozenset[str]:
    """Return the words that distinguish an ingredient: ``{"atorvastatin"}`` of its calcium salt."""
    words = frozenset(stems(ingredient))
    return (words - SALTS - FORM_WORDS - FAMILIES) or (words - SALTS) or words


@lru_cache(maxsize=_TEXTS)
def drug_words(text: str) -> Mapping[str, int]:
    """Return the words of a text that may name a drug, synonyms resolved, with their places."""
    found: dict[str, int] = {}
    for word, place in stems(text).items():
        if word in SYNONYMS:
            for meaning in SYNONYMS[word]:
                found.setdefault(meaning, place)
        elif word not in FORM_WORDS and word not in SALTS and word not in MAKERS:
            found.setdefault(word, place)
    return MappingProxyType(found)
