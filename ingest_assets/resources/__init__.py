"""What the assets talk to: the workflow, the raw layer, the notifications."""
