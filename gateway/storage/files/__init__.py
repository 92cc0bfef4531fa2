"""Stored files: photos, signatures, labels, fax pages; sealed in rows of the database.

A file arrives in pieces in a sealed temporary file (:mod:`.spool`), is cleaned in the sandbox
(:mod:`.cleaning`) and stored in rows of at most 64 KB (:mod:`.store`). A receiver opens it by an
expiring link (:mod:`.links`).
"""
