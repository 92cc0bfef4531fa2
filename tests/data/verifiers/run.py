"""Answer each case on standard input with the how-to page's Python verifier."""

import base64
import sys

import webhook_verifier


def verify(line: str) -> bool:
    """Answer one case: fields separated by U+001F, the body in base64."""
    webhook_format, secret, body, signature, next_signature, message_id, timestamp = line.split(
        "\x1f"
    )
    raw_body = base64.b64decode(body)
    if webhook_format == "scriptrun":
        return webhook_verifier.verify_scriptrun(raw_body, signature, secret)
    if webhook_format == "autorx":
        return webhook_verifier.verify_autorx(raw_body, signature, next_signature, secret)
    return webhook_verifier.verify_standard(raw_body, message_id, timestamp, signature, secret)


for case in sys.stdin.read().split("\n")[:-1]:
    sys.stdout.write("valid\n" if verify(case) else "invalid\n")
