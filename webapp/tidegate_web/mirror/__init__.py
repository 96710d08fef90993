"""The mirror: watches TaskRuns and pods, keeps every run and its logs in Postgres, publishes to viewers, and deletes from
the cluster what is stored and past its time. One leads; everything it does can be done twice without harm.
"""
