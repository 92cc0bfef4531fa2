#!/bin/sh
# Copies the gateway's SQLite database while the gateway runs: one file for each day of the week,
# backups/day-1.db is Monday's. Needs the package sqlite3.
#
#   backup.sh /var/lib/rx-gateway
set -eu
umask 077
cd "$1"
test -f gateway.db
mkdir -p backups
rm -f backups/new.db
sqlite3 -cmd ".timeout 60000" gateway.db ".backup backups/new.db"
test "$(sqlite3 backups/new.db 'PRAGMA quick_check')" = ok
mv backups/new.db "backups/day-$(date +%u).db"
