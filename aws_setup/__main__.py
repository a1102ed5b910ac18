"""`python -m aws_setup`."""

import sys

from aws_setup.cli import main

sys.exit(main())
