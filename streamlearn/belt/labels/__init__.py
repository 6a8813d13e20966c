"""The join of events with labels that come on a topic of their own, later than the events (docs/labels.md)."""
