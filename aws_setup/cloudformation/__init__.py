"""The template, the state machine, and the CloudFormation stack that is created from them.

Imports nothing of `commands`, `checks`, `job_bundle` and `local`.
"""
