"""Scripts that run in the peers' own venv; each prints one JSON object on its last line."""
