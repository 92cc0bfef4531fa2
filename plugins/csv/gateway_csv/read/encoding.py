"""The encoding of a text file.

A byte order mark decides. Without one, UTF-16 is recognised by its NUL bytes, UTF-8 by being valid
from end to end. A file with both UTF-8 and other lines beyond ASCII was joined from two
(:data:`MIXED`): each line is read separately. Otherwise charset-normalizer guesses among the
encodings that spreadsheet programs write. Between similar ones Windows' western one (cp1252) is
chosen, which programs in American pharmacies write.
"""

import codecs
import re
from typing import BinaryIO, Final

from gateway.plugin import InvalidInput

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_USUAL: Final = "cp1252"
MIXED: Final = "utf-8 and cp1252"
"""Not a codec: lines in UTF-8, and others in Windows' western encoding."""
_RARE: Final = (
    "mac_roman cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp437 cp850 shift_jis euc_jp "
    "gb18030 big5 euc_kr"
)
_GUESSED: Final = [_USUAL, *_RARE.split(" ")]
_WESTERN: Final = frozenset({_USUAL, "mac_roman", "cp1250", "cp1254", "cp1257", "cp850", "cp437"})
NAMED: Final = (
    *("utf-8", "utf-16", "cp1252", "mac_roman", "cp437", "cp850", "cp1250", "cp1251", "cp1253"),
    *("cp1254", "cp1255", "cp1256", "cp1257", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
"""The encodings that a sender may name."""
_SAMPLE_BYTES: Final = 64 * 1024
_ACCENTED_WORD: Final = re.compile(r"\w*[^\W\d_a-zA-Z]\w*")
# A sign or a dash between letters, a capital after a small letter: signs of another encoding.
_NO_WESTERN: Final = re.compile(
    r"[^\W\d_][^\x00-\x7f\w\u2018\u2019\u00b4\xa0\u00b7]+[^\W\d_]|[a-z][\u00c0-\u00de\u0152\u0160\u0178\u017d]"
    r"|[\ufffd\u00a4\u00a6\u00ac\u00b6\u00b8\u00af\u0192\u02c6\u02dc\u2020\u2021\u2030]"
)
_PLAIN_SHARE: Final = 0.9
# Half of an ASCII text in UTF-16 is NUL; a stray one in other text is far from this.
_MANY_NULS: Final = 0.2
_AS_GOOD: Final = 0.01


def encoding_of(file: BinaryIO, named: str | None = None) -> str:
    """Return the name of a codec that reads the whole file; raises ``InvalidInput``.

    ``named`` is the sender's, among :data:`NAMED`.
    """
    if named is not None:
        return _checked(file, "utf-8-sig" if named == "utf-8" else named)
    file.seek(0)
    sample = file.read(_SAMPLE_BYTES)
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return _checked(file, name)
    wide = _wide(sample)
    if wide is not None:
        return _checked(file, wide)
    if _reads(file, "utf-8"):
        return "utf-8"
    good, bad = _utf8_lines(file)
    if good > bad:
        return MIXED
    guess = _guess(file)
    # Western text is hardly ever UTF-8 by chance; two bytes of an Asian character may be.
    return MIXED if good and guess in _WESTERN else _checked(file, guess)


def decoded(line: bytes) -> str:
    """Return the text of a line of a :data:`MIXED` file."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(_USUAL, "replace")


def _utf8_lines(file: BinaryIO) -> tuple[int, int]:
    """Count the lines beyond ASCII that are UTF-8, and those that are not."""
    file.seek(0)
    good = bad = 0
    for line in file:
        if line.isascii():
            continue
        try:
            line.decode()
            good += 1
        except UnicodeDecodeError:
            bad += 1
    return good, bad


def _wide(sample: bytes) -> str | None:
    halves = max(1, len(sample) // 2)
    first, second = sample[0::2].count(0) / halves, sample[1::2].count(0) / halves
    if max(first, second) < _MANY_NULS:
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(file: BinaryIO) -> str:
    """Guess from the lines beyond ASCII that aren't UTF-8."""
    file.seek(0)
    telling = bytearray()
    for line in file:
        if not _is_utf8(line):
            telling += line
            if len(telling) > _SAMPLE_BYTES:
                break
    for name in (_USUAL, "mac_roman"):
        if _is_western(telling.decode(name, "replace")):
            return name
    from charset_normalizer import from_bytes  # 2 MB that few files need

    guesses = from_bytes(bytes(telling), cp_isolation=_GUESSED)
    found = {each.encoding: each.chaos for each in guesses}
    if not found:
        return _USUAL
    least = min(found.values())
    if found.get(_USUAL, 1.0) <= least + _AS_GOOD:
        return _USUAL
    best = min(found, key=lambda name: (found[name], _GUESSED.index(name)))
    # Of equivalent encodings only one is among the guesses: name the best-known one.
    is_same = telling.decode(_USUAL, "replace") == telling.decode(best, "replace")
    return _USUAL if is_same else best


def _is_western(text: str) -> bool:
    """Return whether a text makes sense in :data:`_USUAL`: accents inside words of plain letters.

    A few letters beyond ASCII aren't enough for a guess, and many files have only one such name.
    """
    if _NO_WESTERN.search(text):
        return False
    words = _ACCENTED_WORD.findall(text)
    letters = "".join(words)
    return 2 * sum(map(str.isascii, letters)) >= len(letters) * _PLAIN_SHARE


def _checked(file: BinaryIO, encoding: str) -> str:
    if not _reads(file, encoding):
        raise InvalidInput(
            "The file's text can't be read: its encoding is none we know, or it is damaged. "
            "Save it as 'CSV UTF-8' or .xlsx and import that."
        )
    return encoding


def _reads(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := file.read(_SAMPLE_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True
