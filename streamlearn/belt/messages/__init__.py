"""Messages that hold more than one event: where they end, and what they are in Arrow."""
