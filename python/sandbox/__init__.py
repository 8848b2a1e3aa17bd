"""Runs a program that nobody trusts, and its tests, each in a process of its own; knows nothing of any task.

A worker is one interpreter. `boot` loads the modules, `server` forks, `judge` serves requests and evaluates tests, `runner` holds
the program; they exchange frames (`wire`). The judge calls the program's functions through `proxies`, so that verdicts are reached
where the program has no say: SECURITY.md tells what that protects from.
"""
