"""What is said of models beside their metrics: is one better than another, is it calibrated, is it worse for some."""
