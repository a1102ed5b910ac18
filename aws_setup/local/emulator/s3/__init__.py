"""S3: what moto does differently from AWS with versioned objects."""
