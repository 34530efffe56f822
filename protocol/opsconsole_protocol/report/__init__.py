"""What a task says of itself: metrics, progress, checkpoints and notes, as lines of one append-only file of its attempt."""

from opsconsole_protocol.report.line import (
    GPU_METRICS,
    METRICS_OF_LINE_MAX,
    REPORT_BYTES_MAX,
    REPORT_LINE_BYTES_MAX,
    Checkpoint,
    Metrics,
    Progress,
    Report,
    ReportError,
    parse_line,
)
from opsconsole_protocol.report.summary import Reported

__all__ = [
    "GPU_METRICS",
    "METRICS_OF_LINE_MAX",
    "REPORT_BYTES_MAX",
    "REPORT_LINE_BYTES_MAX",
    "Checkpoint",
    "Metrics",
    "Progress",
    "Report",
    "ReportError",
    "Reported",
    "parse_line",
]
