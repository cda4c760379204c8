"""What hamon needs from the world, as Protocols with contracts. No code, no client library.

Rules for every port:

1. Times are seconds on the machine's CLOCK_BOOTTIME (it runs on while a machine sleeps); durations
   are in seconds and positive.
2. Every call has a deadline of its own. A change whose answer did not come is ``UNKNOWN``.
3. Callbacks come on the event loop's thread and must not block.
4. One contract test suite per port runs against the in-memory and the real adapter.
"""
