"""One module for each command of `python -m aws_setup`; `cli.py` parses their arguments."""
