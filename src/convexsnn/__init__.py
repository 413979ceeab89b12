"""Spiking neural networks trained by convex optimisation, with a certificate of optimality."""
