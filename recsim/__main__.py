"""``python -m recsim`` is the ``recsim`` command."""

import sys

from recsim import cli

if __name__ == "__main__":
    sys.exit(cli.main())
