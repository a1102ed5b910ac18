"""One module for each command of `python -m aws_setup`: its help, its arguments, and what it does.

May import `checks`, `cloudformation` and `job_bundle`; nothing here imports `local`.
"""
