"""Files kept here: photos, signatures, labels, pages of a fax; sealed in rows of the database.

A file comes in piece by piece into a sealed temporary file (:mod:`.spool`), is cleaned in the
sandbox (:mod:`.cleaning`) and stored in rows of at most 64 KB (:mod:`.store`). A receiver opens it
by an expiring link (:mod:`.links`).
"""
