"""Accounts: signing up, in and out."""

from collections.abc import Callable, Iterator

from maestro_ml.client.errors import MaestroClientError, MfaRequired
from maestro_ml.client.mfa import proof_of
from maestro_ml.client.paging import whole
from maestro_ml.client.transport import Transport
from maestro_ml.client.views import Challenge, Enrolment, Me, SignIn, Tenant

# How a person is asked for their second factor: a code of their app, or a recovery code; and,
# where a tenant asks for a factor that they do not have yet, the first code of a new app.
AskCode = Callable[[Challenge], str]
AskFirstCode = Callable[[Enrolment], str]


class Auth:
    """Each way in may ask for a second factor. Without `code` and `enrol` that is `MfaRequired`,
    and `finish` goes on from there."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def register(
        self,
        *,
        email: str,
        password: str,
        name: str,
        code: AskCode | None = None,
        enrol: AskFirstCode | None = None,
    ) -> SignIn:
        """Make an account. The client acts as its owner from now on.

        Raises:
            MaestroClientError: the address has to be verified first; a mail is on its way.
        """
        body = {"email": email, "password": password, "name": name}
        return self._sign_in("/auth/register", body, code, enrol)

    def login(
        self,
        *,
        email: str,
        password: str,
        tenant: str | None = None,
        code: AskCode | None = None,
        enrol: AskFirstCode | None = None,
    ) -> SignIn:
        """Start a session, in the tenant of that slug. The client acts in it from now on.

        It lasts 15 minutes. What runs longer, or without a person, is better off with an API key.
        """
        where = {"tenant": tenant} if tenant is not None else {}
        body = {"email": email, "password": password} | where
        return self._sign_in("/auth/login", body, code, enrol)

    def finish(
        self,
        challenge: Challenge,
        *,
        code: AskCode | None = None,
        enrol: AskFirstCode | None = None,
    ) -> SignIn:
        """Go on with a sign-in that asks for a second factor, or for setting one up.

        Raises:
            MfaRequired: nothing was given to ask for that.
        """
        half = {"mfa_token": challenge.mfa_token}
        if "enrol" not in challenge.methods and code is not None:
            return self._entered("/auth/login/mfa", half | proof_of(code(challenge)))
        if "enrol" in challenge.methods and enrol is not None:
            begun = self._transport.ask("POST", "/auth/login/mfa/enrol", json=half)
            first = {"code": enrol(Enrolment.model_validate(begun))}
            return self._entered("/auth/login/mfa/confirm", half | first)
        raise MfaRequired(challenge)

    def refresh(self, refresh_token: str) -> SignIn:
        """Trade a refresh token, once, for a new pair. The client goes on with it."""
        return self._entered("/auth/refresh", {"refresh_token": refresh_token})

    def switch(self, tenant: str) -> SignIn:
        """Go on in another tenant of the caller's, by its slug. The session before ends."""
        return self._entered("/auth/switch", {"tenant": tenant})

    def tenants(self) -> Iterator[Tenant]:
        """The tenants that the caller is a member of. Needs a session."""
        return whole(self._transport, "/auth/tenants", Tenant)

    def setup(
        self,
        *,
        token: str,
        email: str,
        password: str,
        name: str,
        code: AskCode | None = None,
        enrol: AskFirstCode | None = None,
    ) -> SignIn:
        """Spend the one-time secret of the first start: become the platform's admin."""
        body = {"token": token, "email": email, "password": password, "name": name}
        return self._sign_in("/auth/setup", body, code, enrol)

    def accept_invitation(
        self,
        *,
        token: str,
        password: str,
        name: str | None = None,
        code: AskCode | None = None,
        enrol: AskFirstCode | None = None,
    ) -> SignIn:
        """Join a tenant. Whoever has an account already gives its password, and keeps its name.

        Raises:
            Invalid: `name-needed`: the address has no account yet, so a name is needed for one.
        """
        body = {"token": token, "password": password}
        body |= {"name": name} if name is not None else {}
        return self._sign_in("/auth/invitations/accept", body, code, enrol)

    def me(self) -> Me:
        """Who the client acts as, as the server knows them now."""
        return Me.model_validate(self._transport.ask("GET", "/auth/me"))

    def rename(self, name: str) -> Me:
        """Give the caller's account another name."""
        return Me.model_validate(self._transport.ask("PATCH", "/auth/me", json={"name": name}))

    def change_password(self, *, current_password: str, new_password: str) -> SignIn:
        """Choose a new password. Every session ends; the client goes on in a new one."""
        body = {"current_password": current_password, "new_password": new_password}
        return self._entered("/auth/password/change", body)

    def forgot_password(self, email: str) -> None:
        """Have a link for a new password mailed, if the address has an account."""
        self._transport.ask("POST", "/auth/password/forgot", json={"email": email})

    def reset_password(self, *, token: str, new_password: str) -> None:
        """Choose a new password by what stands behind `#` in the mailed link."""
        body = {"token": token, "new_password": new_password}
        self._transport.ask("POST", "/auth/password/reset", json=body)

    def change_email(self, *, new_email: str, current_password: str) -> None:
        """Have a link mailed to a new address, which the account has once it is opened."""
        body = {"new_email": new_email, "current_password": current_password}
        self._transport.ask("POST", "/auth/email/change", json=body)

    def verify_email(self, token: str) -> None:
        """Prove an address by what stands behind `#` in the mailed link."""
        self._transport.ask("POST", "/auth/email/verify", json={"token": token})

    def resend_verification(self) -> None:
        """Have the link mailed again that verifies an address of the caller."""
        self._transport.ask("POST", "/auth/email/resend")

    def logout(self) -> None:
        """End the session. Its tokens are dead at once, and the client acts as nobody."""
        self._transport.ask("POST", "/auth/logout")
        self._transport.act_as(None)

    def logout_all(self) -> None:
        """End every session of this person, this one too."""
        self._transport.ask("POST", "/auth/logout-all")
        self._transport.act_as(None)

    def _sign_in(
        self,
        path: str,
        body: dict[str, str],
        code: AskCode | None,
        enrol: AskFirstCode | None,
    ) -> SignIn:
        answer = self._transport.ask("POST", path, json=body)
        if answer.get("mfa_required"):
            return self.finish(Challenge.model_validate(answer), code=code, enrol=enrol)
        if "access_token" not in answer:
            raise MaestroClientError(answer["detail"])
        return self._in(answer)

    def _entered(self, path: str, body: dict[str, str]) -> SignIn:
        return self._in(self._transport.ask("POST", path, json=body))

    def _in(self, answer: object) -> SignIn:
        signed_in = SignIn.model_validate(answer)
        self._transport.act_as(signed_in.access_token)
        return signed_in
