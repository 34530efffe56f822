"""The coordinator's pure core: events in, batches out. Time and chance are handed in.

`reactor` is the only way in: an event changes the `Fleet` in memory and notes what became dirty. The shell takes these
notes as one `Batch`, commits it, and only then releases its messages, so that nobody hears of what isn't durable.
`view` makes the rows that are shown, and `model` has the entities. Nothing else of the core is known outside it, but
for the store, which builds a fleet with `fleet` and `loading`.
"""
