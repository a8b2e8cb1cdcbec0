"""Accounts: signing up, in and out."""

from maestro_ml.client.transport import Transport
from maestro_ml.client.views import Me, SignIn


class Auth:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def register(self, *, email: str, password: str, name: str) -> SignIn:
        """Make an account. The client acts as its owner from now on."""
        return self._sign_in("/auth/register", email=email, password=password, name=name)

    def login(self, *, email: str, password: str, tenant: str | None = None) -> SignIn:
        """Start a session, in the tenant of that slug. The client acts in it from now on.

        It lasts 15 minutes. What runs longer, or without a person, is better off with an API key.
        """
        where = {"tenant": tenant} if tenant is not None else {}
        return self._sign_in("/auth/login", email=email, password=password, **where)

    def refresh(self, refresh_token: str) -> SignIn:
        """Trade a refresh token, once, for a new pair. The client goes on with it."""
        return self._sign_in("/auth/refresh", refresh_token=refresh_token)

    def setup(self, *, token: str, email: str, password: str, name: str) -> SignIn:
        """Spend the one-time secret of the first start: become the platform's admin."""
        return self._sign_in("/auth/setup", token=token, email=email, password=password, name=name)

    def accept_invitation(self, *, token: str, password: str, name: str) -> SignIn:
        """Join a tenant. Whoever has an account already gives its password."""
        return self._sign_in("/auth/invitations/accept", token=token, password=password, name=name)

    def me(self) -> Me:
        """Who the client acts as, as the server knows them now."""
        return Me.model_validate(self._transport.ask("GET", "/auth/me"))

    def logout(self) -> None:
        """End the session. Its tokens are dead at once, and the client acts as nobody."""
        self._transport.ask("POST", "/auth/logout")
        self._transport.act_as(None)

    def logout_all(self) -> None:
        """End every session of this person, this one too."""
        self._transport.ask("POST", "/auth/logout-all")
        self._transport.act_as(None)

    def _sign_in(self, path: str, **body: str) -> SignIn:
        answer = SignIn.model_validate(self._transport.ask("POST", path, json=body))
        self._transport.act_as(answer.access_token)
        return answer
