"""One file a dashboard; each has a function ``dashboard`` that returns it."""
