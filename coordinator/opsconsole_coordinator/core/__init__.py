"""The coordinator's pure core: events in, effects out; clock and chance handed in.

Every public function of this package changes the `Fleet` in memory and notes what became dirty. The shell drains the
notes as one `Batch`, commits it, and only then releases the batch's messages. Nobody hears of what isn't durable.
"""
