"""A rank that says which signals it gets, one word a line, until the first SIGTERM."""

import os
import signal
import time

signal.alarm(300)
noted: list[str] = []


def note(number: int, frame: object) -> None:
    noted.append(signal.Signals(number).name)
    os.write(1, f"{noted[-1]}\n".encode())


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, note)
os.write(1, b"ready\n")
while "SIGTERM" not in noted:
    time.sleep(0.01)  # a signal just before signal.pause() would be waited for without end
os.write(1, f"{'+'.join(noted)}\n".encode())
