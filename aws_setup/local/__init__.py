"""An AWS account on localhost that runs the same template, state machine and Spark job, without AWS and Docker.

May import all of `aws_setup`; only the command line imports this folder.
"""
