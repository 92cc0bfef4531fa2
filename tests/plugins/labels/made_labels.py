"""Made-up labels, printed by layouts of three places and damaged by seed; no one's data.

``made(seed, level, judging=True)`` returns one: its picture, and what is printed on it by field.
Layouts for judging are other ones than those the finders were made with, in another typeface.
Levels: 0 as scanned, 1 a good photo, 2 a poor one, 3 one that should be taken again.
"""

import io
import random
from dataclasses import dataclass, field
from datetime import date, timedelta

import cv2
import numpy as np
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

LEVELS = (0, 1, 2, 3)
PLACES = ("US", "CA", "FR")
_WIDTH = 1160
_TYPEFACES = {
    False: ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    True: ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
}
_NAMES = {
    "US": (
        "Maria Rodriguez", "Alex Kim", "Dolores McAllister", "James O'Connor", "Tyrone Washington",
        "Priya Raman", "Nguyen Van Minh", "Susan Lee-Hart", "Ana Silva", "Robert Klein",
        "Grace Abara", "Luis Pereda",
    ),
    "CA": (
        "Noah Bennett", "Harpreet Gill", "Olivia MacDonald", "Wei Zhang", "Fatima Al-Sayed",
        "Liam Tremblay", "Emily Whitecloud", "Sean Fitzgerald", "Mei Chow", "Carla D'Souza",
        "Peter Novak", "Ruth Friesen",
    ),
    "FR": (
        "Éloïse Tremblay", "François Gagné", "Hélène Côté", "Benoît Lévesque", "Marie-Ève Roy",
        "Jean-Guy Bélanger", "Zoé Pelletier", "André Saint-Onge", "Chantal Ouellet",
        "Luc Thériault", "Geneviève Boucher", "Nathalie Fortin",
    ),
}  # fmt: skip
_STREETS = {
    "US": ("NW 7th Ave", "Main St", "Ocean Drive", "Elm Street", "SW 112th Ct", "Harbor Blvd"),
    "CA": ("Queen St W", "Lakeshore Rd", "Dundas St E", "Maple Crescent", "King George Blvd"),
    "FR": ("rue Saint-Denis", "boul. René-Lévesque", "avenue du Parc", "chemin Sainte-Foy"),
}
_TOWNS = {
    "US": (("Miami", "FL", "331"), ("Hialeah", "FL", "330"), ("Tampa", "FL", "336"),
           ("Albany", "NY", "122"), ("Austin", "TX", "787")),
    "CA": (("Toronto", "ON", "M5"), ("Hamilton", "ON", "L8"), ("Calgary", "AB", "T2"),
           ("Burnaby", "BC", "V5")),
    "FR": (("Montréal", "QC", "H2"), ("Québec", "QC", "G1"), ("Laval", "QC", "H7"),
           ("Gatineau", "QC", "J8")),
}  # fmt: skip
_AREAS = {"US": ("305", "813", "512"), "CA": ("416", "403", "604"), "FR": ("514", "418", "450")}
_DRUGS = {
    "US": ("ATORVASTATIN 20 MG TABLET", "METFORMIN HCL 500 MG TAB", "LISINOPRIL 10 MG TABLET"),
    "CA": ("PMS-ATORVASTATIN 20MG TAB", "APO-RAMIPRIL 5MG CAP", "TEVA-METOPROLOL 50MG TAB"),
    "FR": ("PMS-ATORVASTATIN 20 MG CO", "APO-RAMIPRIL 5 MG CAPS", "NOVO-METOPROL 50 MG CO"),
}
_DIRECTIONS = {
    "US": ("TAKE ONE TABLET BY MOUTH DAILY", "TAKE 1 TABLET TWICE A DAY WITH FOOD"),
    "CA": ("TAKE 1 TABLET ONCE DAILY", "TAKE 1 CAPSULE IN THE MORNING"),
    "FR": ("PRENDRE 1 COMPRIMÉ UNE FOIS PAR JOUR", "1 CAPSULE LE MATIN AVEC DE L'EAU"),
}
_LETTERS = "ABCEGHJKLMNPRSTVXY"


@dataclass
class Truth:
    """What a label says; ``printed`` are the fields that are on it."""

    name: str
    street: str
    unit: str
    town: str
    code: str
    phone: str
    rx: str
    store: str
    copay: str
    filled: date
    din: str
    drug: str
    directions: str
    printed: dict = field(default_factory=dict)

    @property
    def address(self):
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.street}{unit}, {self.town} {self.code}"


@dataclass
class MadeLabel:
    place: str
    layout: str
    level: int
    image: Image.Image
    printed: dict

    def jpeg(self):
        written = io.BytesIO()
        self.image.save(written, "JPEG", quality=(92, 85, 70, 60)[self.level])
        return written.getvalue()


def made(seed, level, *, judging=True, place=None):
    """Return the label of a seed."""
    chance = random.Random(f"{seed}-{judging}")
    place = place or PLACES[seed % len(PLACES)]
    layouts = _LAYOUTS[judging][place]
    layout = layouts[seed // len(PLACES) % len(layouts)]
    truth = _truth(chance, place)
    paper = Paper(judging)
    layout(paper, truth, chance)
    image = damaged(paper.image(), level, chance)
    return MadeLabel(place, layout.__name__, level, image, truth.printed)


def _truth(chance, place):
    number = f"{chance.randint(1, 9899)}"
    town, region, start = chance.choice(_TOWNS[place])
    digits = "".join(chance.choice("0123456789") for _ in range(8))
    if place == "US":
        code = start + digits[:2]
        street = f"{number} {chance.choice(_STREETS[place])}"
        unit = chance.choice(("", "", "Apt 4", "Apt 12B", "Unit 210", "#305"))
        where = f"{town}, {region}"
    else:
        letter = chance.choice(_LETTERS)
        code = f"{start}{letter} {digits[0]}{chance.choice(_LETTERS)}{digits[1]}"
        comma = ", " if place == "FR" else " "
        street = f"{number}{comma}{chance.choice(_STREETS[place])}"
        units = ("", "app. 3", "app. 12") if place == "FR" else ("", "", "Unit 5", "Apt 1204")
        unit = chance.choice(units)
        where = f"{town} ({region})" if place == "FR" else f"{town}, {region}"
    area = chance.choice(_AREAS[place])
    line = f"{chance.randint(220, 989)}-{digits[2:6]}"
    phone = f"({area}) {line}" if place == "US" else f"{area}-{line}"
    return Truth(
        name=chance.choice(_NAMES[place]),
        street=street,
        unit=unit,
        town=where,
        code=code,
        phone=phone,
        rx=str(chance.randint(1_000_000, 9_899_999)),
        store=f"{chance.randint(1, 9899):04}",
        copay=f"{chance.randint(0, 89)}.{chance.choice(('00', '50', '99', '15'))}",
        filled=date(2026, 11, 29) - timedelta(days=chance.randint(0, 20)),
        din="0" + digits[:7],
        drug=chance.choice(_DRUGS[place]),
        directions=chance.choice(_DIRECTIONS[place]),
    )


class Paper:
    """A label that is being printed: text by rows, codes, lines."""

    def __init__(self, judging):
        self._faces = _TYPEFACES[judging]
        self._sheet = Image.new("RGB", (_WIDTH, 1900), "white")
        self._draw = ImageDraw.Draw(self._sheet)
        self.y = 36

    def text(self, text, x=44, size=34, *, bold=False, stays=False):
        font = _font(self._faces[bold], size)
        self._draw.text((x, self.y), text, font=font, fill=(18, 18, 22))
        if not stays:
            self.y += round(size * 1.36)

    def gap(self, pixels=20):
        self.y += pixels

    def rule(self, *, dashed=False):
        self.gap(12)
        for x in range(20, _WIDTH - 20, 24 if dashed else _WIDTH):
            end = x + 12 if dashed else _WIDTH - 20
            self._draw.line((x, self.y, end, self.y), fill=(90, 90, 90), width=3)
        self.gap(18)

    def code(self, text, x=44, kind="Code128", scale=3, height=90, *, stays=False):
        made_code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
        drawn = zxingcpp.write_barcode_to_image(made_code, scale=scale, add_hrt=False)
        image = Image.fromarray(np.array(drawn))
        if kind == "Code128":
            image = image.resize((image.width, height), Image.Resampling.NEAREST)
        self._sheet.paste(image, (x, self.y))
        if not stays:
            self.y += image.height + 8

    def image(self):
        return self._sheet.crop((0, 0, _WIDTH, min(self.y + 36, 1900)))


def _font(name, size):
    try:
        return ImageFont.truetype(name, size)
    except OSError:  # a machine with one family of typefaces
        return ImageFont.truetype(name.replace("LiberationSans-Regular", "DejaVuSans").replace(
            "LiberationSans-Bold", "DejaVuSans-Bold"), size)  # fmt: skip


def _last_first(name):
    first, _, last = name.rpartition(" ")
    return f"{last}, {first}"


def _says(truth, **fields):
    truth.printed.update(fields)


# -- layouts for tuning ------------------------------------------------------------------------


def us_bag(paper, truth, chance):
    paper.text("LAKESIDE PHARMACY", size=40, bold=True, stays=True)
    paper.text("(305) 555-0100", x=780, size=32)
    paper.text("100 Harbor Blvd, Miami, FL 33131", size=26)
    paper.rule()
    paper.text(f"Rx# {truth.rx}", size=42, bold=True, stays=True)
    paper.text("DR. A. LEE, MD", x=760, size=28)
    paper.gap(12)
    paper.text(truth.name.upper(), size=40, bold=True)
    paper.text(f"{truth.street.upper()} {truth.unit.upper()}".strip())
    paper.text(f"{truth.town.upper()} {truth.code}")
    paper.text(f"Phone: {truth.phone}", size=30)
    paper.gap()
    paper.text(truth.directions, size=30)
    paper.text(truth.drug, size=30, bold=True, stays=True)
    paper.text("QTY: 30", x=800, size=30)
    paper.text(f"Refills: 3   Date filled: {truth.filled:%m/%d/%Y}", size=28)
    paper.text("Discard after: 11/03/2027", size=24)
    paper.text(f"Copay: ${truth.copay}", size=34, bold=True)
    paper.code(f"{truth.rx}{truth.store}")
    paper.rule(dashed=True)
    paper.text(f"DELIVER TO: {truth.name.upper()}", size=30)
    paper.text(f"{truth.address.upper()}", size=28)
    paper.text(f"Rx {truth.rx}   Tel {truth.phone}", size=28)
    paper.text(f"Amount due ${truth.copay}", size=30)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


def us_vial(paper, truth, chance):
    paper.text("Harbor Drugs  #0412", size=34, bold=True)
    paper.text("22 Bay Rd, Tampa, FL 33602   Tel (813) 555-0188", size=24)
    paper.text(f"RX: {truth.rx}", size=40, stays=True)
    paper.text(f"Filled {truth.filled:%m/%d/%y}", x=680, size=30)
    paper.text(truth.name, size=40, bold=True)
    paper.text(truth.address, size=28)
    paper.gap()
    paper.text(truth.directions, size=32)
    paper.text(truth.drug, size=28)
    paper.code(f"{truth.rx}{truth.store}", height=70)
    paper.text(f"{truth.rx}{truth.store}", x=80, size=24)
    _says(truth, patient_name=truth.name, patient_address=truth.address, rx_number=truth.rx)
    _says(truth, filled_on=truth.filled.isoformat())


def ca_bag(paper, truth, chance):
    paper.text("QUEEN STREET PHARMACY", size=36, bold=True)
    paper.text("12 Queen St W, Toronto, ON M5H 2M9   416-555-0123", size=24)
    paper.rule()
    paper.text("Patient:", size=28, stays=True)
    paper.text(truth.name, x=220, size=38, bold=True)
    paper.text("Address:", size=28, stays=True)
    paper.text(f"{truth.street} {truth.unit}".strip(), x=220, size=32)
    paper.text(f"{truth.town}  {truth.code}", x=220, size=32)
    paper.text("Phone:", size=28, stays=True)
    paper.text(truth.phone, x=220, size=32)
    paper.text("Rx No:", size=28, stays=True)
    paper.text(truth.rx, x=220, size=36, bold=True, stays=True)
    paper.text(f"DIN {truth.din}", x=640, size=28)
    paper.text(truth.drug, size=30)
    paper.text(truth.directions, size=28)
    paper.text(f"Date: {truth.filled.isoformat()}    Dr. S. Patel", size=28)
    paper.text(f"Patient pays: ${truth.copay}", size=34)
    paper.code(truth.rx, height=80)
    paper.rule(dashed=True)
    paper.text(f"{truth.name}   Rx {truth.rx}", size=30)
    paper.text(truth.address, size=28)
    paper.text(f"Pay ${truth.copay}   Filled {truth.filled.isoformat()}", size=28)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


def fr_bag(paper, truth, chance):
    paper.text("PHARMACIE DU PARC", size=38, bold=True)
    paper.text("4500, avenue du Parc, Montréal (QC) H2W 1N8   Tél. 514-555-0199", size=24)
    paper.rule()
    paper.text(f"Ord. no {truth.rx}", size=36, bold=True, stays=True)
    paper.text("Dre Lavoie", x=800, size=28)
    paper.text(truth.name, size=40, bold=True)
    paper.text(f"{truth.street}, {truth.unit}".rstrip(", "), size=30)
    paper.text(f"{truth.town} {truth.code}", size=30)
    paper.text(f"Tél. : {truth.phone}", size=30)
    paper.text(truth.drug, size=30, stays=True)
    paper.text(f"DIN {truth.din}", x=760, size=26)
    paper.text(truth.directions, size=28)
    paper.text(f"Exécuté le {truth.filled.isoformat()}", size=28)
    paper.text(f"À payer : {truth.copay.replace('.', ',')} $", size=34, bold=True)
    paper.code(truth.rx, height=80)
    paper.rule(dashed=True)
    paper.text(f"Livrer à : {truth.name}", size=30)
    paper.text(truth.address, size=28)
    paper.text(f"No {truth.rx}   Montant dû {truth.copay.replace('.', ',')} $", size=28)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


# -- layouts for judging -----------------------------------------------------------------------


def us_receipt(paper, truth, chance):
    paper.text(f"{_last_first(truth.name).upper()}", size=42, bold=True, stays=True)
    paper.text(f"Rx {truth.rx}", x=760, size=36, bold=True)
    paper.text(f"{truth.street} {truth.unit}".strip(), size=30)
    paper.text(f"{truth.town} {truth.code}", size=30)
    paper.text(f"Cell {truth.phone}", size=30)
    paper.gap()
    paper.text(truth.drug, size=30, bold=True)
    paper.text(truth.directions, size=28)
    paper.text(f"Fill date {truth.filled:%m-%d-%Y}     Qty 90     Refills left 2", size=28)
    paper.text("Prescriber: PATEL, SANJAY", size=26)
    paper.code(f"{truth.rx}{truth.store}", x=520, stays=True)
    paper.text(f"You pay  ${truth.copay}", size=38, bold=True)
    paper.gap(70)
    paper.rule(dashed=True)
    paper.text("Bayside Drug Store   (813) 555-0144", size=28, bold=True)
    paper.text("9 Gulf Ave, Tampa, FL 33609", size=24)
    paper.text(f"FOR: {truth.name}", size=30)
    paper.text(truth.address, size=28)
    paper.text(f"RX# {truth.rx}    COPAY ${truth.copay}", size=30)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


def us_slip(paper, truth, chance):
    paper.text("CORNER PHARMACY", x=360, size=38, bold=True)
    paper.text("1 Grand Ave, Albany, NY 12203  *  518-555-0102", x=260, size=24)
    paper.gap()
    paper.text("PATIENT", size=22)
    paper.text(truth.name.upper(), size=38, bold=True)
    paper.text(truth.address.upper(), size=28)
    paper.text(f"TEL {truth.phone}", size=28)
    paper.gap()
    paper.text("RX NUMBER", size=22, stays=True)
    paper.text("DATE FILLED", x=420, size=22, stays=True)
    paper.text("AMOUNT DUE", x=800, size=22)
    paper.text(truth.rx, size=38, bold=True, stays=True)
    paper.text(f"{truth.filled:%m/%d/%Y}", x=420, size=34, stays=True)
    paper.text(f"${truth.copay}", x=800, size=36)
    paper.text(truth.drug, size=28)
    paper.text(truth.directions, size=28)
    paper.code(f"{truth.rx}{truth.store}", scale=3)
    paper.text(f"{truth.rx}{truth.store}", x=120, size=24)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


def ca_two_part(paper, truth, chance):
    paper.text(truth.name.upper(), size=42, bold=True)
    paper.text(f"{truth.street} {truth.unit}".strip(), size=30)
    paper.text(f"{truth.town} {truth.code}", size=30)
    paper.text(f"Ph {truth.phone}", size=30)
    paper.gap()
    paper.text(f"Prescription no. {truth.rx}", size=34, bold=True)
    paper.text(f"{truth.drug}   DIN {truth.din}", size=28)
    paper.text(truth.directions, size=28)
    paper.text(f"Dispensed {truth.filled:%d %b %Y}    Dr. M. Wong    Rem: 2", size=28)
    paper.text(f"Balance due: ${truth.copay}", size=32)
    paper.text("Lakeshore Drug Mart  800 Lakeshore Rd, Hamilton, ON L8E 1A2", size=24)
    paper.text("Tel 905-555-0177", size=24)
    paper.rule(dashed=True)
    paper.code(truth.rx, x=640, height=80, stays=True)
    paper.text(f"Name: {truth.name}", size=30)
    paper.text(f"Rx {truth.rx}", size=32)
    paper.text(truth.address, size=26)
    paper.text(f"Total due ${truth.copay}    Ph {truth.phone}", size=28)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


def fr_two_part(paper, truth, chance):
    paper.text("Pharmacie Sainte-Foy inc.", size=34, bold=True, stays=True)
    paper.text("418-555-0166", x=860, size=28)
    paper.text("2600, chemin Sainte-Foy, Québec (QC) G1V 1T2", size=24)
    paper.rule()
    paper.text(f"Patient : {truth.name.upper()}", size=36, bold=True)
    paper.text(f"{truth.street}, {truth.unit}".rstrip(", "), size=30)
    paper.text(f"{truth.town} {truth.code}", size=30)
    paper.text(f"Téléphone {truth.phone}", size=28)
    paper.gap()
    paper.text(f"No d'ordonnance : {truth.rx}", size=34, bold=True)
    paper.text(f"{truth.drug}   DIN : {truth.din}", size=28)
    paper.text(truth.directions, size=28)
    paper.text(f"Date d'exécution : {truth.filled.isoformat()}   Renouv. : 2", size=28)
    paper.code(truth.rx, x=640, height=80, stays=True)
    paper.text(f"Total à payer {truth.copay.replace('.', ',')} $", size=34, bold=True)
    paper.gap(60)
    paper.rule(dashed=True)
    paper.text(f"POUR : {truth.name}", size=30)
    paper.text(truth.address, size=28)
    paper.text(f"Ord. {truth.rx}     Solde {truth.copay.replace('.', ',')} $", size=30)
    _says(truth, patient_name=truth.name, patient_address=truth.address, patient_phone=truth.phone)
    _says(truth, rx_number=truth.rx, copay_amount=truth.copay, filled_on=truth.filled.isoformat())


_LAYOUTS = {
    False: {"US": (us_bag, us_vial), "CA": (ca_bag,), "FR": (fr_bag,)},
    True: {"US": (us_receipt, us_slip), "CA": (ca_two_part,), "FR": (fr_two_part,)},
}


# -- damage ------------------------------------------------------------------------------------


def damaged(image, level, chance):
    """Return a photo of a label as an unpractised hand takes it; level 0 is a clean scan."""
    if level == 0:
        return image
    pixels = np.asarray(image)
    pixels = _held(pixels, level, chance)
    pixels = _lit(pixels, level, chance)
    blur = {1: 0.7, 2: 1.5, 3: 2.6}[level] * chance.uniform(0.8, 1.1)
    pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    if level == 3:
        pixels = _shaken(pixels, chance.randint(5, 9))
    noise = np.random.default_rng(chance.randint(0, 2**31))
    grain = noise.normal(0, {1: 4, 2: 8, 3: 13}[level], pixels.shape)
    pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def _held(pixels, level, chance):
    """Tilt it, and look at it from aside, on a table."""
    height, width = pixels.shape[:2]
    margin = 90
    tilt = np.deg2rad(chance.uniform(-1, 1) * {1: 4, 2: 9, 3: 12}[level])
    aside = {1: 0.015, 2: 0.04, 3: 0.06}[level]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    centre = corners.mean(axis=0)
    turn = np.float32([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    moved = (corners - centre) @ turn.T
    shift = [[chance.uniform(-aside, aside) * width for _ in range(2)] for _ in range(4)]
    moved = np.float32(moved + np.float32(shift))
    moved -= moved.min(axis=0) - margin
    size = tuple(int(each) for each in moved.max(axis=0) + margin)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    table = tuple(chance.randint(60, 130) for _ in range(3))
    return cv2.warpPerspective(
        pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT,
        borderValue=table,
    )  # fmt: skip


def _lit(pixels, level, chance):
    """Light it from one side; level 2 has a reflection, level 3 too little light."""
    height, width = pixels.shape[:2]
    across = np.linspace(-0.5, 0.5, width)[None, :] * chance.uniform(-1, 1)
    down = np.linspace(-0.5, 0.5, height)[:, None] * chance.uniform(-1, 1)
    light = 1 + (across + down) * {1: 0.18, 2: 0.4, 3: 0.5}[level]
    light *= {1: 0.94, 2: 0.75, 3: 0.4}[level]
    lit = pixels.astype(np.float32) * light[:, :, None]
    if level >= 2:
        x, y = chance.uniform(0.2, 0.8) * width, chance.uniform(0.2, 0.8) * height
        xs, ys = np.meshgrid(np.arange(width), np.arange(height))
        spot = np.exp(-(((xs - x) / (0.10 * width)) ** 2 + ((ys - y) / (0.07 * height)) ** 2))
        lit += (spot * {2: 110, 3: 150}[level])[:, :, None]
    return np.clip(lit, 0, 255)


def _shaken(pixels, length):
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return cv2.filter2D(pixels, -1, kernel)
