"""Becomes the server process: drops root, ties its life to the parent's, then executes the server.

Run as a script by `process.py`, never imported. It exists because the same steps inside
`subprocess`'s `preexec_fn` may deadlock in a parent that has threads (gRPC has), and because the
death signal must be set after the change of user, which clears it.

Arguments: parent pid, death signal, uid and gid (-1: keep ours), then the server's command line.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Execute the command; returns only by raising, which ends the process."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.chdir("/")
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    # A parent that died before the call above sends no signal any more.
    if os.getppid() != parent:
        sys.exit("the parent process is gone")
    os.execv(command[0], command)  # noqa: S606 - this is the purpose of the script


if __name__ == "__main__":
    main(sys.argv[1:])
