"""What people and projects had of the fleet, in words."""

from opsconsole_protocol.api import UsageRow
from opsconsole_protocol.share import Share

_HOUR_MS = 3_600_000


def hours(milliseconds: int) -> str:
    """GPU, CPU or task milliseconds as hours, such as `12.5 h`."""
    found = milliseconds / _HOUR_MS
    if not milliseconds:
        return "0 h"
    return f"{found:,.0f} h" if found >= 100 else f"{found:.1f} h" if found >= 0.1 else "< 0.1 h"


def share_text(row: UsageRow) -> str:
    """What the project and the person of a row may have, where that isn't what everybody may."""
    parts = (
        ("project", Share(weight=row.project_weight, limits=row.project_limits).words),
        ("person", Share(weight=row.person_weight, limits=row.person_limits).words),
    )
    return "; ".join(f"{whose} {words}" for whose, words in parts if words)
