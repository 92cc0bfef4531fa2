"""What a browser on another host of the shop does, as a process of its own; prints JSON.

::

    python second_host.py https URL CA CODE     the owner's first day over the local CA
    python second_host.py plain URL             the same page without TLS

``SECOND_HOST=name=address`` stands in for a hosts file, where there is no network namespace.
"""

import json
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

import httpx
from authenticator import Authenticator


def map_the_name() -> None:
    name, _, address = os.environ.get("SECOND_HOST", "").partition("=")
    looked_up = socket.getaddrinfo
    if name:
        socket.getaddrinfo = lambda host, *rest, **more: looked_up(
            address if host == name else host, *rest, **more
        )


def sign_in(client: httpx.Client, device: Authenticator) -> httpx.Response:
    begun = client.post("/api/session/passkey/begin", json={}).json()
    body = {"token": begun["token"], "response": device.get(begun["options"])}
    return client.post("/api/session/passkey", json=body)


def over_tls(url: str, ca: str, code: str) -> dict:
    try:
        httpx.get(f"{url}/dashboard/welcome")
        refusal = "none"
    except httpx.ConnectError as error:
        refusal = str(error)
    trusting = ssl.create_default_context(cafile=ca)
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    device = Authenticator(url, urlsplit(url).hostname)
    with httpx.Client(base_url=url, verify=trusting, headers=headers) as client:
        welcome = client.get("/dashboard/welcome").status_code
        owner = {"code": code, "name": "Amara Okafor", "email": "amara@x.example"}
        begun = client.post("/api/session/owner/begin", json=owner).json()
        passkey = device.create(begun["options"])
        made = client.post("/api/session/enrol", json={"token": begun["token"], "passkey": passkey})
        out = client.delete("/api/session").status_code
        gone = client.get("/api/session").status_code
        signed_in = sign_in(client, device)
        role = client.get("/api/session").json()["role"]
        foreign = client.post(
            "/api/session/extend", headers={"Origin": "https://evil.lan"}
        ).status_code
    return {
        "without the CA": refusal,
        "statuses": [welcome, made.status_code, out, gone, signed_in.status_code, foreign],
        "cookies": signed_in.headers.get_list("set-cookie"),
        "role": role,
    }


def without_tls(url: str) -> dict:
    answer = httpx.get(f"{url}/dashboard/sign-in")
    return {"status": answer.status_code, "text": answer.text}


if __name__ == "__main__":
    map_the_name()
    how = over_tls if sys.argv[1] == "https" else without_tls
    sys.stdout.write(json.dumps(how(*sys.argv[2:])))
