"""Several tasks in one step: which rows each has (`schedule`), the step (`step`), and how it combines them: on losses, on gradients."""
