"""Any GraphDef: edits, functions inlined, variables to constants and back."""
