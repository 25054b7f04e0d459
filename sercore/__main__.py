"""`python -m sercore` is `sercore`."""

import sys

from sercore.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
