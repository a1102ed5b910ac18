"""What `preflight` and `status` check before and after a deployment.

May import `aws_setup.cloudformation`; nothing here imports `commands` or `local`.
"""
