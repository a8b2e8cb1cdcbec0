"""What can go wrong on the way out."""

from maestro_ml.core.errors import Invalid, Unavailable


class AddressRefused(Invalid):
    """The server does not call such an address: it is no https URL, or it leads inside."""

    code = "address-refused"


class OutboundFailed(Unavailable):
    """The other side cannot be reached, or answers otherwise than it should.

    Always the same words: whoever chose the address learns nothing of what listens there.
    """

    code = "outbound-failed"

    def __init__(self) -> None:
        super().__init__("The address does not answer as it should, or not at all.")
