"""What holds for every test: Hypothesis repeats itself, and sets no deadline of its own."""

from hypothesis import settings

# No timing asserts: the same examples in every run, however slow the machine is today.
settings.register_profile("hamon", deadline=None, derandomize=True)
settings.load_profile("hamon")
