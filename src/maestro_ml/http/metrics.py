"""What Prometheus is told of requests: by route, never by a caller's own words."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import Scope

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry for each application, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "maestro_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "maestro_http_request_seconds",
            "Seconds from the first byte in to the last byte out.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

        # To find them by their labels takes longer than to count.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        # The route of a router that was included knows its own part of the address only.
        whole = scope.get("fastapi", {}).get("effective_route_context", scope.get("route"))
        route = getattr(whole, "path", "(none)")
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        key = (method, route, status)
        counted = self._counted.get(key)
        if counted is None:
            requests = self._requests.labels(method, route, str(status))
            counted = self._counted[key] = (requests, self._seconds.labels(method, route))
        counted[0].inc()
        counted[1].observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
