"""CloudFormation: corrections of moto's engine, and resource types that moto lacks. May import `core`."""
