"""Kill, stop and terminate everything of blockmill at seeded random moments, and look what is lost.

`make chaos SEEDS="1 2 3" SIGNALS=300`, or here in tests/: python -m chaos 1 2 3 --signals 300

Each seed is a run of its own, in a temporary folder of its own: rounds of one to three jobs, by a service or
by `blockmill run`, which are disturbed until they are done. After each signal every block that is marked
available must equal the reference, and a merged output that has its name must be whole and right. After each
round every accepted job is done, its output is bit-equal, no partial file and no lock is left, and finished
blocks were not computed again (filesets by block, merged outputs once they have their name). At the end no
process of ours lives, run-time and temporary folders are empty, and the service's log holds no traceback.
Only noted, not judged: the most open files of the service, and new names in /dev/shm, which others may have
made.
"""
