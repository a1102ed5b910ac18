"""CloudFormation: what moto's engine does differently from AWS."""
