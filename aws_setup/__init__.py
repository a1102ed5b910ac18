"""The AWS side of the project: one template, the commands that deploy and run it, and an AWS account on localhost."""
