"""Autoscaling: the decisions as plain classes, and the signals they are made of. The registry performs them."""
