"""The console's app: link, view model, commands and what they do. `run_app` starts it."""

from opsconsole_console.app.run import Target, run_app

__all__ = ["Target", "run_app"]
