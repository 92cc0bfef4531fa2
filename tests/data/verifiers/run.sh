# Answers each case on standard input with the how-to page's bash verifier.
set -eu
. ./webhook_verifier.sh

while IFS=$'\x1f' read -r format secret body signature next_signature id timestamp; do
  printf '%s' "$body" | openssl base64 -d -A > body
  case $format in
    scriptrun) set -- verify_scriptrun body "$signature" "$secret" ;;
    autorx) set -- verify_autorx body "$signature" "$next_signature" "$secret" ;;
    standard) set -- verify_standard body "$id" "$timestamp" "$signature" "$secret" ;;
  esac
  if "$@" < /dev/null; then echo valid; else echo invalid; fi
done
