"""EMR Serverless: applications with the states of the service, and job runs that do run. May import `core`."""
