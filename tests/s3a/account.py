"""`python -m aws_setup local --s3a …` with its S3 requests counted: `python -m tests.s3a.account …`."""

from __future__ import annotations

import sys

from aws_setup import cli
from tests.s3a import counting

if __name__ == "__main__":
    counting.install()
    sys.exit(cli.main(["local", "--s3a", *sys.argv[1:]]))
