"""What can go wrong with webhooks."""

from collections.abc import Sequence

from maestro_ml.core.errors import Conflict, Invalid, NotFound, Unavailable


class WebhookNotFound(NotFound):
    """There is no such webhook, or not for you."""

    code = "webhook-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such webhook.")


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery, or it is older than 30 days."""

    code = "webhook-delivery-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such delivery. They are kept for 30 days.")


class WebhookInvalid(Invalid):
    """An event or a filter is not one that there is; the nearest name is among the words."""

    code = "webhook-invalid"

    def __init__(self, *at: str, why: str) -> None:
        super().__init__(why, faults=[{"at": ["body", *at], "why": why}])


class TooManyWebhooks(Conflict):
    """Every event asks each of a tenant's webhooks, so there are not more than so many."""

    code = "too-many-webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your tenant has {most} webhooks, and may not have more. Delete one, or let one of "
            "them hear more events.",
            allowed=most,
        )


class WebhookDisabled(Conflict):
    """Nothing is sent to a webhook that is disabled: enable it first."""

    code = "webhook-disabled"

    def __init__(self) -> None:
        super().__init__("This webhook is disabled, so nothing is sent to it. Enable it first.")


class DeliveryUnfinished(Conflict):
    """A delivery that is still tried is not replayed beside that."""

    code = "webhook-delivery-unfinished"

    def __init__(self) -> None:
        super().__init__("This delivery is still tried. Wait until it is delivered or dead.")


class DeliveryFailed(Unavailable):
    """The receiver did not take a delivery. It is tried again."""

    code = "webhook-delivery-failed"


def one_of(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return ", ".join(f"`{name}`" for name in names)
