"""How much the library withstands: memory over hours, kills, full disks, spoiled files, bad calls.

``python -m recsim.benchmarks.endurance`` goes through the phases of
:data:`recsim.benchmarks.endurance.results.TITLES`, each with a stated length, prints their tables
and writes them as JSON and as a page in Markdown. ``--quick`` takes two minutes. What was found in
other phases before stays in the files. It needs Linux: processes are forked, and ``/proc`` is read.
"""
