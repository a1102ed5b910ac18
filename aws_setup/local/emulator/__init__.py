"""What moto lacks to run a stack with EMR Serverless and Step Functions, a folder per service; README.md explains it.

Imports nothing of the project but `aws_setup.local.processes`. Services import `core`.
"""
