"""EMR Serverless, which moto has in part only: applications and job runs that really run."""
