"""Runs at the start of every engine process: asks the kernel for AMX tile state (arch_prctl ARCH_REQ_XCOMP_PERM, tile data).

Without the permission some AMX machines kill the engine with SIGILL at its first short prompt. A no-op elsewhere.
"""

import ctypes
import sys

if sys.platform == "linux":
    ctypes.CDLL(None).syscall(158, 0x1023, 18)
