"""Files that come to this worker and leave it."""
