"""Who may do what, and who does it: a recorder of AWS calls, and an evaluator of the template's policies."""
