"""What moto lacks so that a stack with EMR Serverless and Step Functions runs for real on localhost.

An emulation of AWS: nothing in here knows which stack, state machine or job it runs. `server.LocalAws` starts it,
`spark.SparkSubmit` says how this machine runs a Spark job.
"""
