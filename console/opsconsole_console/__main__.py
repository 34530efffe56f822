"""`python -m opsconsole_console` is `opsconsole`."""

import sys

from opsconsole_console.cli import main

if __name__ == "__main__":
    sys.exit(main())
