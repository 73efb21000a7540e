"""Load at a rate that does not depend on the answers, and what came of it.

    plan ─► schedule ─► generator(s) ─► outcome ─► figures ─► verdict, table, plot, JSON

plan.py       when requests are due: Poisson, in bursts, steady
request.py    the bytes that are sent
reply.py      where a reply ends: fast for the usual one, complete for the others
poller.py     which sockets have something, until when
connection.py one socket with one request at a time
generator.py  the loop of one thread: sends what is due, whatever comes back
team.py       one generator here, or several in processes of their own
outcome.py    what came of each request
quantiles.py  quantiles with their confidence
figures.py    an outcome in numbers; whether the run counts
limits.py     `--require`: what the numbers must be
search.py     the highest rate that is still good
session.py    the runs of one command
svg.py, plot.py   pictures
report.py     words and JSON

Nothing here knows models, batching or the server: it is a client.
"""
