"""What `preflight` and `status` look at before and after a deployment.

May import `cloudformation` and `job_bundle`, nothing from `commands` and `local`.
"""
