"""`python -m trivium`."""

import sys

try:
    from trivium.cli import main
except KeyboardInterrupt:  # while it loads, which takes a second
    sys.exit(130)

main()
