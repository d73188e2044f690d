"""Deployments of real processes on loopback, faults for them, and inspection afterwards."""
