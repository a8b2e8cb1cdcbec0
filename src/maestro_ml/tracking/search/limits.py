"""How much one search may ask for. A database answers more with an error of its own, or with a long
silence, and to read more takes so long that others wait: whoever reads stops here, too."""

from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.search.tree import Kind, Search

MAX_COMPARISONS = 100
MAX_ORDERS = 16
MAX_LISTED = 10_000
MAX_ON_DATASETS = 1_000  # comparisons of metrics, each with each of the datasets


def check_comparisons(n: int) -> None:
    if n > MAX_COMPARISONS:
        raise FilterInvalid(f"A filter holds at most {MAX_COMPARISONS} comparisons")


def check_orders(n: int) -> None:
    if n > MAX_ORDERS:
        raise FilterInvalid(f"An order holds at most {MAX_ORDERS} names")


def check_listed(n: int) -> None:
    if n > MAX_LISTED:
        raise FilterInvalid(f"The lists of a filter hold at most {MAX_LISTED} values")


def check_size(search: Search) -> None:
    """Raises:
    FilterInvalid: it asks for more than a search may, or for the same order twice.
    """
    check_comparisons(len(search.where))
    check_orders(len(search.order))
    if len({order.field for order in search.order}) < len(search.order):
        raise FilterInvalid("The order contains duplicate fields")
    check_listed(sum(len(c.value) for c in search.where if isinstance(c.value, tuple)))
    n_metrics = sum(comparison.field.kind is Kind.METRIC for comparison in search.where)
    if n_metrics * len(search.datasets) > MAX_ON_DATASETS:
        raise FilterInvalid(
            f"Comparisons of metrics times datasets are at most {MAX_ON_DATASETS}: name fewer"
        )
