"""What watches the inputs and the outputs of models: a window of now against a window of reference (docs/drift.md)."""
