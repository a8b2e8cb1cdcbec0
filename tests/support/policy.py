"""What each route asks of its caller: the table that the matrix test holds the server to."""

from maestro_ml.core.access import Permission

PUBLIC = "public"
P = Permission

# By operation (the route function's name).
POLICY: dict[str, Permission | str] = {}
