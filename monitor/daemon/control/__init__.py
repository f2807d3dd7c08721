"""Answers to commands."""
