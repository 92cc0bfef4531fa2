"""Passkeys (WebAuthn level 2): checked by ``fido2``; discoverable, with user verification.

The relying party is the host of ``public_url``. No attestation is requested: people choose their
own model of authenticator. A passkey that verified its user is two factors in one: the device, and
the finger or PIN. ``fido2`` (two megabytes, and 30 ms) is imported with the first ceremony.
"""

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import InvalidInput, NotAuthenticated
from gateway.model.person import Factor, Person

if TYPE_CHECKING:
    from fido2.server import Fido2Server
    from fido2.webauthn import AttestedCredentialData

_TIMEOUT_MS: Final = 300_000
_NAME: Final = "rx-gateway"


class Passkeys:
    """Begins and checks ceremonies for one relying party, ``rp_id``: a host name."""

    def __init__(self, rp_id: str) -> None:
        self._rp_id = rp_id

    def registration(
        self, handle: bytes, email: str, name: str, present: list[Factor]
    ) -> tuple[dict[str, Any], str]:
        """Return the options for ``navigator.credentials.create``, and the challenge to keep.

        ``present`` are the person's passkeys: their authenticators are excluded.
        """
        from fido2.webauthn import (
            PublicKeyCredentialUserEntity,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        user = PublicKeyCredentialUserEntity(id=handle, name=email, display_name=name)
        options, state = self._server("").register_begin(
            user,
            [_attested(each) for each in present],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return dict(options)["publicKey"] | {"timeout": _TIMEOUT_MS}, state["challenge"]

    def assertion(self, allowed: list[Factor] | None = None) -> tuple[dict[str, Any], str]:
        """Return the options for ``navigator.credentials.get``, and the challenge to keep.

        Without ``allowed`` the browser offers the passkeys that it has for this host.
        """
        from fido2.webauthn import UserVerificationRequirement

        options, state = self._server("").authenticate_begin(
            None if allowed is None else [_attested(each) for each in allowed],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return dict(options)["publicKey"] | {"timeout": _TIMEOUT_MS}, state["challenge"]

    def registered(
        self, response: dict[str, Any], challenge: str, origin: str
    ) -> tuple[bytes, bytes, int]:
        """Check a registration; returns credential id, public key data and counter."""
        from fido2.cose import CoseKey, UnsupportedKey
        from fido2.webauthn import RegistrationResponse

        try:
            RegistrationResponse.from_dict(response)
            auth_data = self._server(origin).register_complete(_state(challenge), response)
        except Exception as error:  # fido2 raises many types of exceptions for a client's input
            raise InvalidInput("The passkey could not be checked; begin again.") from error
        data = auth_data.credential_data
        if data is None or isinstance(CoseKey.parse(data.public_key), UnsupportedKey):
            raise InvalidInput("The passkey is of a kind that the gateway doesn't know.")
        return data.credential_id, bytes(data), auth_data.counter

    def credential_of(self, response: dict[str, Any]) -> bytes:
        """Return the credential id that an assertion names; raises ``NotAuthenticated``."""
        from fido2.webauthn import AuthenticationResponse

        try:
            return bytes(AuthenticationResponse.from_dict(response).raw_id)
        except Exception as error:  # as above
            raise refused() from error

    def asserted(
        self,
        response: dict[str, Any],
        challenge: str,
        origin: str,
        factor: Factor,
        person: Person,
    ) -> int:
        """Check an assertion by ``factor`` of ``person``; returns its signature counter.

        Raises ``NotAuthenticated``, also for a counter that went back: a copied authenticator
        (WebAuthn, section 6.1.1).
        """
        from fido2.webauthn import AuthenticationResponse

        try:
            parsed = AuthenticationResponse.from_dict(response)
            self._server(origin).authenticate_complete(
                _state(challenge), [_attested(factor)], response
            )
        except Exception as error:  # as above
            raise refused() from error
        handle = parsed.response.user_handle
        if handle is not None and bytes(handle) != person.handle:
            raise refused()
        counter = int(parsed.response.authenticator_data.counter)
        if (counter or factor.counter) and counter <= factor.counter:
            raise refused()
        return counter

    def _server(self, origin: str) -> "Fido2Server":
        from fido2.server import Fido2Server
        from fido2.webauthn import PublicKeyCredentialRpEntity

        party = PublicKeyCredentialRpEntity(id=self._rp_id, name=_NAME)
        return Fido2Server(party, verify_origin=lambda given: given == origin)


def refused() -> NotAuthenticated:
    """Return the error of a passkey that can't be accepted."""
    return NotAuthenticated("This passkey doesn't open anything here; use another way.")


def _state(challenge: str) -> dict[str, Any]:
    from fido2.webauthn import UserVerificationRequirement

    return {"challenge": challenge, "user_verification": UserVerificationRequirement.REQUIRED}


def _attested(factor: Factor) -> "AttestedCredentialData":
    from fido2.webauthn import AttestedCredentialData

    return AttestedCredentialData(factor.secret)
