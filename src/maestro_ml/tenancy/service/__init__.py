"""New tenants, and the counters that limits are enforced on: a module per noun."""

from maestro_ml.tenancy.service.tenants import (
    check_user_seat,
    create,
    give_back_project_slot,
    give_back_user_seat,
    take_project_slot,
    take_user_seat,
)

__all__ = [
    "check_user_seat",
    "create",
    "give_back_project_slot",
    "give_back_user_seat",
    "take_project_slot",
    "take_user_seat",
]
