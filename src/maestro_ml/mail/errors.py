"""What can go wrong with mail."""

from maestro_ml.core.errors import Invalid, NotFound, Unavailable


class MailNotFound(NotFound):
    """The outbox has no such mail, or not any more: they are kept for 30 days."""

    code = "mail-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such mail in the outbox.")


class MailDelayed(Unavailable):
    """The mail server could not be reached or would not take the mail now: it is tried again."""

    code = "mail-delayed"


class MailRefused(Invalid):
    """The mail server will not take this mail, now or later."""

    code = "mail-refused"
