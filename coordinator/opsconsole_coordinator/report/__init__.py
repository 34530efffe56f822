"""What tasks report, kept: lines as they come, points by metric, and the few that a picture needs."""
