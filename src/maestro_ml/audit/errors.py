"""What can go wrong with the audit trail."""

from maestro_ml.core.errors import NotFound


class AuditEventNotFound(NotFound):
    """There is no such event, or not in the caller's tenant."""

    code = "audit-event-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such audit event.")
