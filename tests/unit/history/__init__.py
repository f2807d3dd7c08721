"""Tests of the history: what it takes in, how it is stored, read and summed up."""
