"""Job runs of EMR Serverless, executed on this machine by spark-submit."""
