"""Makes a Python on Linux behave to this project's code as one on Windows does.

Python imports it at its start where its folder is on PYTHONPATH. Two kinds of pretending:

- Modules that Windows lacks can't be imported by anybody, uvloop among them.
- The project's own modules, and only they, get a ``sys``, ``os``, ``signal``, ``socket`` that
  say Windows and lack what Windows lacks. Libraries are told nothing: on Windows their own
  code for Windows runs, which is theirs to test.

And the files of this process follow Windows' rules: one that is open can't be moved, replaced or
removed; ``rename`` never overwrites; a folder can't be opened; some characters can't be in names.
What can't be pretended is the other event loop (Proactor) and SQLite's locks on Windows.
"""

import asyncio
import asyncio.subprocess  # before the modules it needs are gone
import builtins
import contextlib
import ctypes
import errno
import fcntl
import getpass  # noqa: F401 - as above
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile  # noqa: F401 - as above
import tempfile  # noqa: F401 - as above
import types
import warnings

import click._termui_impl  # noqa: F401 - it needs termios, and on Windows another module


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MISSING_MODULES = words(
    "crypt fcntl grp nis ossaudiodev posix pty pwd readline resource spwd syslog termios tty uvloop"
)
# What Python's documentation says "Availability: Unix" of.
MISSING = {
    "os": words("""O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WNOHANG chown chroot confstr
        ctermid fchdir fchmod fchown fork forkpty fpathconf fstatvfs fwalk getegid geteuid getgid
        getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid initgroups killpg
        lchown lockf makedev mkfifo mknod nice openpty pathconf pipe2 posix_spawn pread preadv
        pwrite pwritev register_at_fork sched_getaffinity sched_setaffinity sched_yield
        sendfile setegid seteuid setgid setgroups setpgid setpriority setsid setuid
        statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid"""),
    "signal": words("""SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP
        SIGUSR1 SIGUSR2 SIGWINCH alarm pause pthread_kill pthread_sigmask setitimer siginterrupt
        sigpending sigtimedwait sigwait"""),
    "socket": words("AF_UNIX SO_REUSEPORT recv_fds send_fds"),
}
SAID = {"sys": {"platform": "win32"}, "os": {"name": "nt"}, "signal": {"SIGBREAK": signal.SIGUSR2}}
OURS = "gateway"
UNFIT = set('<>:"|?*\\')


def shown(module: types.ModuleType) -> types.ModuleType:
    """Return a module as Windows has it; what is set on it afterwards reaches the real one."""
    name = module.__name__

    class Shown(types.ModuleType):
        def __getattr__(self, wanted: str) -> object:
            if wanted in MISSING.get(name, ()):
                raise AttributeError(f"module {name!r} has no attribute {wanted!r} (on Windows)")
            said = SAID.get(name, {})
            return said[wanted] if wanted in said else getattr(module, wanted)

    return Shown(name)


WINDOWS = {module.__name__: shown(module) for module in (os, signal, socket, sys)}


def ours(globals_: object) -> bool:
    return isinstance(globals_, dict) and str(globals_.get("__name__", "")).startswith(OURS)


really_import = builtins.__import__


def import_(name, globals=None, locals=None, fromlist=(), level=0):  # noqa: A002
    first = name.partition(".")[0]
    if first in WINDOWS and ours(globals) and (first == name or not fromlist):
        return WINDOWS[first]
    return really_import(name, globals, locals, fromlist, level)


def locking(descriptor: int, mode: int, count: int) -> None:
    """Lock ``count`` bytes from where the file stands, or refuse at once."""
    assert mode == msvcrt.LK_NBLCK, "the only way that is pretended"
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)
    except OSError as error:
        raise PermissionError(errno.EACCES, "somebody else has locked it") from error


msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
msvcrt.locking = locking


class Granted:
    """A function of Windows that says yes and does nothing."""

    restype: object = None

    def __call__(self, *_arguments: object) -> int:
        return 1


def kernel32(_name: str, *, use_last_error: bool) -> types.SimpleNamespace:
    """Return what Job objects need; that they confine is for Windows itself to show."""
    assert use_last_error
    names = words("CreateJobObjectW SetInformationJobObject AssignProcessToJobObject CloseHandle")
    return types.SimpleNamespace(**{name: Granted() for name in names})


ctypes.WinDLL = kernel32
subprocess.Popen._handle = property(lambda process: process.pid)

builtins.__import__ = import_
for each in MISSING_MODULES:
    sys.modules[each] = None
sys.modules["msvcrt"] = msvcrt


def no_handler(_loop, _number, _callback, *_args):
    raise NotImplementedError  # https://docs.python.org/3/library/asyncio-platforms.html#windows


asyncio.SelectorEventLoop.add_signal_handler = no_handler


def is_open(path) -> bool:
    """Say whether this process has the file open."""
    if isinstance(path, int):
        return False
    wanted = os.path.realpath(os.fsdecode(path))
    for each in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(each.readlink()) == wanted:
                return True
    return False


def refuse_open(*paths, dir_fd=None) -> None:
    for path in paths:
        if dir_fd is None and is_open(path):
            raise PermissionError(errno.EACCES, "it is open (on Windows)", os.fsdecode(path))


def guarded(function, *, overwrites: bool):
    def run(*paths, **keywords):
        refuse_open(*paths, dir_fd=keywords.get("dir_fd"))
        if not overwrites and os.path.lexists(paths[1]):
            raise FileExistsError(errno.EEXIST, "it is there (on Windows)", os.fsdecode(paths[1]))
        return function(*paths, **keywords)

    return run


os.rename = guarded(os.rename, overwrites=False)
for each in ("replace", "remove", "unlink"):
    setattr(os, each, guarded(getattr(os, each), overwrites=True))
shutil._use_fd_functions = False


def watch(event: str, arguments: tuple) -> None:
    if event not in {"open", "os.mkdir", "os.rename", "os.link"}:
        return
    for path in arguments[: 2 if event in {"os.rename", "os.link"} else 1]:
        if not isinstance(path, (str, os.PathLike)):
            continue
        name = pathlib.PurePath(path).name
        if UNFIT & set(name) or name.endswith((".", " ")):
            raise OSError(errno.EINVAL, "no name for a file (on Windows)", os.fspath(path))
        if event == "open" and arguments[1] is None and pathlib.Path(path).is_dir():
            raise PermissionError(errno.EACCES, "a folder can't be opened (on Windows)", str(path))


sys.addaudithook(watch)
# Whatever is read or written in the machine's own encoding is another text on Windows (cp1252).
warnings.filterwarnings("error", category=EncodingWarning, module=OURS)
