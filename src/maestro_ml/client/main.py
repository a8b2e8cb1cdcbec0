"""The client: one object per server and caller, with a part for each kind of thing."""

from pathlib import Path
from typing import Self

from maestro_ml.client.approvals import ApprovalPolicies, Approvals
from maestro_ml.client.audit import Audit
from maestro_ml.client.auth import Auth
from maestro_ml.client.jobs import Jobs
from maestro_ml.client.mfa import Mfa
from maestro_ml.client.models import Models
from maestro_ml.client.outbox import Outbox
from maestro_ml.client.people import Accounts, ApiKeys, ServiceAccounts, Tenants, Users
from maestro_ml.client.projects import Projects
from maestro_ml.client.sessions import Sessions
from maestro_ml.client.sso import DeviceLogins, IdentityProviders
from maestro_ml.client.transport import Transport
from maestro_ml.client.webhooks import Webhooks


class MaestroClient:
    """Speaks to a Maestro server as the owner of `token`, an API key or an access token.

    Reading requests, and deletes, are repeated a few times when the network or the server fails
    for a moment; a request that may have made something is never sent twice. Certificates are
    checked; `ca_file` names the authority of a private one.

        with MaestroClient("https://maestro.example", token="mlp_...") as maestro:
            for project in maestro.projects.list():
                print(project.name)
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        timeout: float = 30.0,
        ca_file: Path | None = None,
    ) -> None:
        self._transport = Transport(url, token, timeout=timeout, ca_file=ca_file)
        self.auth = Auth(self._transport)
        self.mfa = Mfa(self._transport)
        self.sessions = Sessions(self._transport)
        self.projects = Projects(self._transport)
        self.models = Models(self._transport)
        self.approvals = Approvals(self._transport)
        self.approval_policies = ApprovalPolicies(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.tenants = Tenants(self._transport)
        self.users = Users(self._transport)
        self.service_accounts = ServiceAccounts(self._transport)
        self.accounts = Accounts(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.jobs = Jobs(self._transport)
        self.audit = Audit(self._transport)
        self.outbox = Outbox(self._transport)
        self.identity_providers = IdentityProviders(self._transport)
        self.devices = DeviceLogins(self._transport)

    @property
    def url(self) -> str:
        return self._transport.url

    def act_as(self, token: str | None) -> None:
        """Go on as the owner of another token, or as nobody."""
        self._transport.act_as(token)

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MaestroClient({self.url!r})"
