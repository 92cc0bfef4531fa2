"""A reader that finds on every picture what a test says; it stands for the process that reads."""

from pictures import picture, saved
from plugins.labels.printed import BAG

GOOD = {"light": 240.0, "contrast": 200.0, "sharpness": 300.0, "pixels": 1600.0}


class FakeReader:
    """``lines`` and ``codes`` are found, or ``fault`` is raised; ``seen`` counts pictures."""

    def __init__(self):
        self.lines = BAG
        self.codes = []
        self.quality = GOOD
        self.fault = None
        self.seen = []
        self.ended = 0

    def read(self, file):
        self.seen.append(file.read())
        if self.fault is not None:
            raise self.fault
        said = {"width": 640, "height": 480, "quality": self.quality}
        return [{**said, "codes": self.codes, "lines": self.lines}, saved(picture(640, 480))]

    def end_if_idle(self, _seconds):
        self.ended += 1

    def close(self):
        self.ended += 1


def photo():
    return saved(picture(320, 240))
