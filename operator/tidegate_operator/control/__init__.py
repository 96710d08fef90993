"""The control loops: the workqueue, the reconcilers of runs, Schedules and Queues, and how their actions are carried out."""
