"""Two people at a service of root, which acts for each of them."""

import json
import os
import pwd
import subprocess
import sys

import h5py
import numpy as np

ANN, BEN = "daemon", "nobody"  # accounts that every machine has
CALL = """
import os, sys, json
import blockmill.client.service.client, blockmill.shared.jobs.job, numpy, encodings.idna, zmq
os.setgroups([]); os.setresgid({gid}, {gid}, {gid}); os.setresuid({uid}, {uid}, {uid})
from blockmill import Client
from blockmill.shared.errors import BlockmillError
answers = []
with Client({socket!r}) as client:
    for verb, args, options in json.loads({calls!r}):
        try:
            answer = getattr(client, verb)(*args, **options)
            if verb == "submit":
                answer = client.wait(answer.id, timeout_s=60)
            answers.append(["ok", getattr(answer, "state", None), getattr(answer, "reason", "")])
        except BlockmillError as error:
            answers.append([type(error).__name__, None, str(error)])
print(json.dumps(answers))
"""
STEPS = "import os, numpy as np\ndef f(block, context):\n    return block\n"
WHO = """def who(block, context):
    lines = open('/proc/thread-self/status').read().splitlines()
    uid = next(line.split() for line in lines if line.startswith('Uid'))
    assert uid[4] == {uid!r}, uid
    return block
"""


class People:
    """Folders of two people and of root below one place, and a service that may touch some of them."""

    def __init__(self, bench, place):
        self.bench, self.place = bench, place
        self.voxels = np.random.default_rng(1).integers(0, 200, (16, 16, 16)).astype(np.uint8)
        self.data, self.outside, self.secret, self.code = (
            place / name for name in ("data", "outside", "secret", "code")
        )
        for folder, mode in (
            (self.data, 0o755),
            (self.outside, 0o777),
            (self.secret, 0o700),
            (self.code, 0o755),
        ):
            folder.mkdir()
            folder.chmod(mode)
            if folder not in (self.data, self.code):
                np.save(folder / "in.npy", self.voxels)
                with h5py.File(folder / "x.h5", "w") as file:
                    file["v"] = self.voxels
        (self.code / "steps.py").write_text(STEPS + WHO.format(uid=str(pwd.getpwnam(BEN).pw_uid)))
        for name in (ANN, BEN):
            folder = self.data / name
            folder.mkdir(mode=0o700)
            np.save(folder / "in.npy", self.voxels)
            (folder / "in.npy").chmod(0o600)
            self.give(folder / "in.npy", name)
            self.give(folder, name)

    @staticmethod
    def give(path, name):
        user = pwd.getpwnam(name)
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def serve(self):
        self.bench.environ["BLOCKMILL__ACCESS__DATA_ROOTS"] = json.dumps([str(self.data)])
        self.bench.environ["BLOCKMILL__ACCESS__USER_CODE"] = json.dumps([str(self.code)])
        self.bench.serve()
        os.chmod(self.bench.socket.parent, 0o755)
        os.chmod(self.bench.socket, 0o666)

    def ask(self, name, *calls):
        user = pwd.getpwnam(name)
        text = CALL.format(
            uid=user.pw_uid, gid=user.pw_gid, socket=str(self.bench.socket), calls=json.dumps(calls)
        )
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, cwd="/", timeout=200
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def job(self, name, **changes):
        folder = self.data / name
        job = {"input": str(folder / "in.npy"), "output": str(folder / "o.npy"), "operation": "copy"}
        return (
            "submit",
            [job | {key: value if isinstance(value, dict) else str(value) for key, value in changes.items()}],
            {"overwrite": True},
        )
