"""DRAFT"""


class NBestFile:
    def __init__(self, run, task):
        self.d = {e["id"]: e for e in run.nbest(task)}

    def __getitem__(self, k):
        return self.d[k]
