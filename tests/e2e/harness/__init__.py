"""Deployments of real processes on loopback, fault injection, and inspection afterwards."""
