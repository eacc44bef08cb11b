"""Evaluation: how good a network is, in metrics and in figures."""
