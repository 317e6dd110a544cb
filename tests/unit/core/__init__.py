"""Tests of the pure core and of the signature checks behind its port."""
