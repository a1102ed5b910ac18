"""Tests of the AWS emulation by itself, through its HTTP API, with templates, state machines and jobs of their own."""
