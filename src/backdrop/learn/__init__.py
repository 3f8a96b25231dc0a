"""Numerics that methods share."""
