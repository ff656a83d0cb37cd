"""What programs see through the shim, whatever call opens a file and wherever its path begins; sanitized once more."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from ambergate.devices.nodes import FILES, MAX_CONTENT

if TYPE_CHECKING:
    from tests.integration.shim.conftest import Place

TOKEN = "/dev/amber/token"


def numbered(count: int) -> list[str]:
    return [f"token {number}" for number in range(1, count + 1)]


def test_the_sanitizers_are_at_work(sanitized: Place) -> None:
    done = sanitized.shell("cat /proc/$$/maps")
    assert b"libasan" in done.stdout


def test_each_open_gives_a_token_of_its_own(place: Place) -> None:
    assert place.deed("read", TOKEN, TOKEN) == ["token 1", "token 2"]


def test_all_twelve_files_are_known_with_their_modes(place: Place) -> None:
    lines = place.script("cd /dev/amber", 'for f in *; do $P tell "$f"; done', "ls /dev/amber")
    modes = [FILES[name] for name in sorted(FILES)]
    assert lines[:12] == [f"1 {mode:o} 0 0 {-1 if mode == 0o444 else 0} -1 0" for mode in modes]
    assert lines[12:] == sorted(FILES)


def test_streams_read(place: Place) -> None:
    assert place.script("for mode in r re rb; do $P stream /dev/amber/token $mode; done") == numbered(3)


def test_a_stream_is_redirected(place: Place) -> None:
    script = "$P reopen /dev/amber/token /dev/amber/userdata data 2>&1; cat /dev/amber/userdata"
    assert place.script(script) == ["token 1data"]


def test_a_program_that_was_hardened_is_reached(place: Place) -> None:
    assert place.deed("fortified", TOKEN, "x") == [f"token {number}" for number in range(1, 5)]


def test_what_is_read_is_an_ordinary_file(place: Place) -> None:
    assert place.deed("ordinary", TOKEN) == ["1 444 7 1 1 1 1"]


def test_a_path_need_not_be_normal(place: Place) -> None:
    paths = ("//dev//amber/./token", "/dev/amber/../amber/token", "/dev/none/../amber/token", "/../dev/amber//token")
    assert place.deed("read", *paths) == numbered(4)


def test_a_path_may_be_relative(place: Place) -> None:
    wheres = ("/dev amber/token", "/dev/amber token", "/ ./dev/amber/token")
    assert place.script(*(f"$P from {where}; $P below {where}" for where in wheres)) == numbered(6)


def test_threads_have_tokens_of_their_own(place: Place) -> None:
    lines = place.deed("threads", "8", "50", TOKEN)
    assert sorted(lines) == sorted(f"token {number}" for number in range(1, 401))


def test_children_and_what_they_become_are_reached(place: Place) -> None:
    assert place.deed("family", TOKEN) == ["token 1", "token 2", "token 3"]


def test_what_was_written_holds_for_the_next_open(place: Place) -> None:
    lines = place.script("for i in $(seq 30); do echo $i > /dev/amber/userdata; cat /dev/amber/userdata; done")
    assert lines == [str(number) for number in range(1, 31)]


def test_a_program_writes_and_reads_back(place: Place) -> None:
    lines = place.script(
        "$P write /dev/amber/kbs_keyid key-1; $P read /dev/amber/kbs_keyid",
        "$P stream /dev/amber/kbs_keyid w key-2; $P both /dev/amber/kbs_keyid key-3; $P read /dev/amber/kbs_keyid",
        ": > /dev/amber/kbs_keyid; $P read /dev/amber/kbs_keyid; head -1 /dev/amber/status",
    )
    assert lines == ["key-1", "key-2", "key-3", "", "[INFO] kbs_keyid saved"]


def test_a_value_that_is_refused_leaves_the_old_one(place: Place) -> None:
    lines = place.script(
        "echo 127.0.0.1 > /dev/amber/endpoint_ip; echo nowhere > /dev/amber/endpoint_ip",
        "head -1 /dev/amber/status; cat /dev/amber/endpoint_ip",
        f"echo; head -c {MAX_CONTENT + 1} /dev/zero > /dev/amber/endpoint_ip; cat /dev/amber/endpoint_ip",
    )
    assert lines[0].startswith("[ERROR] endpoint_ip not saved: ")
    assert lines[1:] == ["127.0.0.1", "127.0.0.1"]


def test_a_shell_redirects(place: Place) -> None:
    lines = place.script(
        "exec 3> /dev/amber/userdata; echo held >&3; cat /dev/amber/userdata; echo; exec 3>&-; cat /dev/amber/userdata",
        "read line < /dev/amber/token; echo $line; while read more; do echo $more; done < /dev/amber/userdata",
    )
    assert lines == ["", "held", "token 1", "held"]


def test_python_opens(place: Place) -> None:
    script = """
import os, pathlib
path = pathlib.Path('/dev/amber/token')
assert path.exists() and path.is_file() and os.access(path, os.R_OK) and not os.path.islink(path)
assert open(path).read() == 'token 1' and path.read_bytes() == b'token 2'
with open('/dev/amber/userdata', 'w') as file: file.write('by python')
assert open('/dev/amber/userdata', 'rb').read() == b'by python'
assert sorted(entry for entry in os.listdir('/dev/amber') if entry[0] != '.') == sorted({files!r})
"""
    done = place.run(sys.executable, "-c", script.format(files=list(FILES)))
    assert (done.returncode, done.stderr) == (0, b"")


def test_renew_is_done_before_status_tells_of_it(place: Place) -> None:
    lines = place.script(
        "echo secret > /dev/amber/renew; head -1 /dev/amber/status; cat /dev/amber/renew; echo",
        "printf nonsense > /dev/amber/renew; head -1 /dev/amber/status; cat /dev/amber/renew /dev/amber/token",
    )
    assert lines == [
        "[INFO] provisioned",
        "secret",
        "[ERROR] renew failed: this word is not known",
        "secrettoken 2",
    ]


def test_nothing_is_cut(place: Place) -> None:
    sizes = (4088, 4089, 20_000, MAX_CONTENT)
    lines = place.script(*(f"printf {size} > /dev/amber/userdata; $P read /dev/amber/token" for size in sizes))
    assert lines == [line.ljust(size, ".") for line, size in zip(numbered(4), sizes, strict=True)]


def test_a_failure_is_its_errno_and_nothing_is_read(place: Place) -> None:
    names = ("EACCES", "EIO", "ETIMEDOUT", "EHOSTUNREACH", "ECONNREFUSED", "EINVAL", "E2BIG")
    lines = place.script(
        *(f"printf {name} > /dev/amber/userdata; $P read /dev/amber/token" for name in names),
        "$P stream /dev/amber/secret r; head -1 /dev/amber/status",
    )
    assert lines[:-1] == [f"errno {getattr(errno, name)}" for name in (*names, names[-1])]
    assert lines[-1].startswith("[ERROR] provision failed: ")


REFUSED = (
    (TOKEN, os.O_WRONLY, errno.EACCES),
    (TOKEN, os.O_RDWR, errno.EACCES),
    (TOKEN, os.O_TRUNC, errno.EACCES),
    (TOKEN, os.O_CREAT | os.O_EXCL, errno.EEXIST),
    (TOKEN, os.O_DIRECTORY, errno.ENOTDIR),
    (TOKEN + "/", os.O_RDONLY, errno.ENOTDIR),
    (TOKEN + "/x", os.O_RDONLY, errno.ENOTDIR),
    ("/dev/amber/other", os.O_RDONLY, errno.ENOENT),
    ("/dev/amber/other", os.O_CREAT | os.O_WRONLY, errno.EPERM),
    ("/dev/amber", os.O_WRONLY, errno.EISDIR),
    ("/dev/amberx", os.O_RDONLY, errno.ENOENT),
)


def test_what_cannot_be_done_says_so(place: Place) -> None:
    lines = place.script(*(f"$P flags {path} {flags}" for path, flags, _ in REFUSED))
    assert lines == [f"errno {number}" for _, _, number in REFUSED]


def test_nothing_stays_open(place: Place) -> None:
    assert place.deed("leaks", TOKEN, "/dev/amber/kbs_ip", "/dev/amber/none") == ["0"]


def test_other_files_are_none_of_its_business(place: Place, tmp_path: object) -> None:
    lines = place.script(
        f"cd {tmp_path}; echo here > token; $P read token ./token; ln -s /dev/amber/status link; $P tell token",
        "mkdir -p dev/amber; echo there > dev/amber/token; $P read dev/amber/token; echo x > /dev/null; pwd",
    )
    assert lines == ["here", "", "here", "", "1 644 5 0 0 -1 0", "there", "", str(tmp_path)]
