"""An AWS account on localhost: the same template, state machine and Spark job, with no AWS account and no Docker."""
