"""Whole deployments of real processes on loopback, to be killed in parts, and what is found in them afterwards."""
