"""Damaged files by seed: whatever becomes of them, no package may be wrong.

``sheets`` makes tables of many layouts whose rows are all good orders, ``columns``, ``cells`` and
``writing`` damage them, ``judge`` reads the result and holds every package against the originals.
``make damage ARGS="--files 20000 --seed 9"`` prints the table of docs/explanation/imports.md.
"""
