"""The quality of a picture, in words that help to take a better one. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway_labels.schema import QualityOut, Verdict

_ADVICE: Final[Mapping[Verdict, str]] = {
    "empty": "No text was found: fill the picture with the label, and take it again.",
    "small": "The picture is too small: go closer, and take it again.",
    "dark": "The picture is too dark: take it again with more light.",
    "pale": "The picture has too little contrast: take it again, without a reflection.",
    "blurred": "The picture is blurred: hold still, and take it again.",
}
_LEAST_PIXELS: Final = 600
_LEAST_LIGHT: Final = 110
_LEAST_CONTRAST: Final = 70
_GOOD_SCORE: Final = 0.88


def verdict_of(quality: Mapping[str, float], lines: Sequence[Mapping[str, Any]]) -> QualityOut:
    """Return the problem of a picture.

    A picture whose lines are read well is good in any light.
    """
    scores = [float(each["score"]) for each in lines]
    if not scores:
        return _said("empty")
    if quality["pixels"] < _LEAST_PIXELS:
        return _said("small")
    if sum(scores) / len(scores) >= _GOOD_SCORE:
        return QualityOut("good")
    if quality["light"] < _LEAST_LIGHT:
        return _said("dark")
    if quality["contrast"] < _LEAST_CONTRAST:
        return _said("pale")
    return _said("blurred")


def _said(verdict: Verdict) -> QualityOut:
    return QualityOut(verdict, _ADVICE[verdict])
