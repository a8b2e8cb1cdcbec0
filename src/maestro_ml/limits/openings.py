"""How many of what stays open there are at a time, in one process."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from maestro_ml.limits.errors import TooManyStreams

MOST_EACH = 10
MOST_OF_TENANT = 50
MOST = 200  # each looks at the database twice a second


class Openings:
    def __init__(
        self, each: int = MOST_EACH, tenant: int = MOST_OF_TENANT, most: int = MOST
    ) -> None:
        self._each = each
        self._tenant = tenant
        self._most = most
        self._open: Counter[Hashable] = Counter()
        self._of_tenant: Counter[Hashable] = Counter()

    @contextmanager
    def one_of(self, who: Hashable, tenant: Hashable) -> Iterator[None]:
        """A place for as long as the block lasts.

        Raises:
            TooManyStreams: they have, their tenant or all have, as many as there may be.
        """
        if self._open[who] >= self._each:
            raise TooManyStreams(
                f"You have {self._each} event streams open, and may not have more: close one."
            )
        if self._of_tenant[tenant] >= self._tenant:
            raise TooManyStreams(
                f"Your tenant has {self._tenant} event streams open, and may not have more: wait, "
                "or ask for the job itself from time to time."
            )
        if self._open.total() >= self._most:
            raise TooManyStreams(
                f"This server has {self._most} event streams open, and takes no more. "
                "Ask for the job itself from time to time."
            )
        self._open[who] += 1
        self._of_tenant[tenant] += 1
        try:
            yield
        finally:
            self._open[who] -= 1
            self._of_tenant[tenant] -= 1
            self._open += Counter()  # keeps none that are at 0
            self._of_tenant += Counter()
