"""What moto lacks so that a stack with EMR Serverless and Step Functions runs on localhost: a folder each."""
