#!/usr/bin/env bash
# Run this checkout's `distill` on a processor that this machine does not have, by qemu's user-mode emulation.
# It needs no root, no binfmt, no chroot and no container: qemu is called by name, and -L lays a folder over /.

set -euo pipefail

usage() {
    cat >&2 <<'END'
usage: emulate.sh arm64|x86-avx2 SCRATCH -- DISTILL-ARGUMENTS...
       emulate.sh arm64|x86-avx2 SCRATCH            only set up

Runs `distill DISTILL-ARGUMENTS...` with the base install alone (onnxruntime, numpy, pillow, tokenizers; no torch):
  arm64      as 64-bit ARM, in Debian 12's Python with the wheels for aarch64
  x86-avx2   as an x86-64 with AVX2 and without AVX-512 and VNNI, by this machine's Python

SCRATCH is made where it is missing and holds all that is downloaded; a second call downloads nothing.

needs:  qemu-user-static; Python 3.11 or newer with pip and venv; for arm64 also apt-get with Debian 12 as its
        source and dpkg-deb; for x86-avx2 an x86-64 machine
environment:
  EMULATE_CPU          qemu's -cpu, instead of the default of the target (qemu-aarch64-static -cpu help)
  EMULATE_SOURCE       the checkout to run, instead of the one that holds this script
  EMULATE_APT_SOURCES  an apt sources file that has Debian 12 for arm64, where this machine's own have not
  PYTHON               this machine's Python, instead of python3
END
    exit 2
}

fail() {
    echo "emulate.sh: $*" >&2
    exit 1
}

[[ $# -ge 2 ]] || usage
target=$1
scratch=$2
shift 2
if [[ $# -gt 0 ]]; then
    [[ $1 == -- ]] || usage
    shift
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "${EMULATE_SOURCE:-$here/../..}" && pwd)
python=${PYTHON:-python3}

# sme=off: under qemu 7.2, onnxruntime's int8 products on SME come out wrong (probabilities move by 0.4); under
# qemu 10 they are right.
# pauth-impdef: the architected pointer signing is slower to emulate and changes no answer.
case $target in
    arm64) qemu=qemu-aarch64-static cpu=${EMULATE_CPU:-max,sme=off,pauth-impdef=on} ;;
    # What is switched off here qemu cannot emulate anyway, and would warn of at every start.
    x86-avx2)
        qemu="qemu-x86_64-static"
        cpu=${EMULATE_CPU:-Haswell-noTSX,pcid=off,x2apic=off,tsc-deadline=off,invpcid=off}
        ;;
    *) usage ;;
esac

command -v "$qemu" >/dev/null || fail "no $qemu here; apt-get install qemu-user-static"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11; set PYTHON"
[[ $target == arm64 || $(uname -m) == x86_64 ]] || fail "x86-avx2 borrows the libraries of an x86-64 machine"

mkdir -p "$scratch"
scratch=$(cd "$scratch" && pwd)
root=$scratch/$target/root # laid over / by qemu -L
site=$scratch/$target/site # the wheels
mkdir -p "$root" "$scratch/wheels"

# --- once -------------------------------------------------------------------------------------------------------

install_debian_python() {
    # A private apt: neither this machine's package lists nor its dpkg ever hear of arm64, and no root is needed.
    local apt=$scratch/apt options deb
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    options=(
        -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User= -o Debug::NoLocking=true
        -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
        -o DPkg::Post-Invoke::= -o APT::Update::Post-Invoke::= -o APT::Keep-Downloaded-Packages=true
    )
    if [[ -n ${EMULATE_APT_SOURCES:-} ]]; then
        options+=(-o Dir::Etc::sourcelist="$(realpath "$EMULATE_APT_SOURCES")" -o Dir::Etc::sourceparts=-)
    fi
    # A third party's source without arm64 makes update fail; what counts is whether install finds its packages.
    apt-get "${options[@]}" -qq update || echo "emulate.sh: apt-get update had errors; going on" >&2
    apt-get "${options[@]}" -qq --no-install-recommends --download-only -y install \
        python3.11-minimal libpython3.11-stdlib libstdc++6 ||
        fail "apt has no python3.11 for arm64; name Debian 12's sources in EMULATE_APT_SOURCES"
    # Unpacked, not configured: nothing that is run here needs a maintainer script.
    for deb in "$apt"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --no-same-owner
    done
}

install_wheels() {
    local platform wanted
    wanted=(--only-binary=:all: --constraint "$source/constraints.txt" --cache-dir "$scratch/wheels")
    # pip reads markers for this machine's Python and chooses wheels for the emulated one; 3.11 and newer agree.
    if [[ $target == arm64 ]]; then
        wanted+=(--implementation cp --python-version 3.11)
        # pip tries no older tags than those it is given.
        for platform in manylinux_2_{36..24} manylinux2014 manylinux_2_17; do
            wanted+=(--platform "${platform}_aarch64")
        done
    fi
    rm -rf "$site"
    "$python" -m pip install -qq --no-compile --disable-pip-version-check --root-user-action=ignore \
        --target "$site" "${wanted[@]}" "${requirements[@]}"
}

once() { # once NAME KEY COMMAND: again only after the key has changed
    local mark=$scratch/$target/$1.done
    if [[ $(cat "$mark" 2>/dev/null) != "$2" ]]; then
        echo "emulate.sh: $target: $1 ..." >&2
        rm -f "$mark"
        "$3"
        echo "$2" >"$mark"
    fi
}

if [[ $target == arm64 ]]; then
    once debian-python 1 install_debian_python
fi
mapfile -t requirements < <(
    "$python" - "$source/pyproject.toml" <<'END'
import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], sep="\n")
END
)
key=$({ "$python" -V; printf '%s\n' "${requirements[@]}"; cat "$source/constraints.txt"; } | sha256sum)
once wheels "$key" install_wheels

# --- every time -------------------------------------------------------------------------------------------------

if [[ $target == arm64 ]]; then
    interpreter=$root/usr/bin/python3.11
    home=(PYTHONHOME="$root/usr") # else a module missing from the root would be taken from this machine's /usr/lib
else
    interpreter=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
    home=()
fi

emulated() {
    # env -i: what tunes libraries for this machine's processor is wrong for the emulated one.
    # -S: no packages of this machine. The pycache prefix keeps the checkout clean and the second start quick.
    env -i PATH=/usr/bin:/bin HOME="$scratch" LANG=C.UTF-8 TMPDIR="${TMPDIR:-/tmp}" COLUMNS="${COLUMNS:-100}" \
        "${home[@]}" PYTHONPATH="$source:$site" PYTHONPYCACHEPREFIX="$scratch/$target/pycache" \
        "$qemu" -cpu "$cpu" -L "$root" "$interpreter" -S "$@"
}

# qemu passes this machine's /proc/cpuinfo on: distill would believe it, and onnxruntime for arm64 crashes on it at
# import. A file in the root hides it, written from what the emulated processor says of itself.
cat >"$scratch/cpuinfo.py" <<'END'
import ctypes, mmap, os, platform

def machine_code(code, *types):
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(code))
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return page, ctypes.CFUNCTYPE(ctypes.c_uint64, *types)(address)

def arm64():
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    names = {
        16: "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop "
            "sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg",
        26: "dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 "
            "i8mm bf16 dgh rng bti mte ecv afp rpres mte3 sme",
    }
    flags = [n for key, row in names.items() for bit, n in enumerate(row.split()) if getauxval(key) >> bit & 1]
    page, midr = machine_code("000038d5" "c0035fd6")  # mrs x0, midr_el1; ret
    value = midr() if "cpuid" in flags else 0
    return [
        ("BogoMIPS", "100.00"), ("Features", " ".join(flags)),
        ("CPU implementer", f"{value >> 24 & 0xff:#04x}"), ("CPU architecture", "8"),
        ("CPU variant", f"{value >> 20 & 0xf:#x}"), ("CPU part", f"{value >> 4 & 0xfff:#05x}"),
        ("CPU revision", str(value & 0xf)),
    ]

def x86():
    # push rbx; mov eax,edi; mov ecx,esi; mov r8,rdx; cpuid; mov [r8..],eax,ebx,ecx,edx; pop rbx; ret
    page, call = machine_code(
        "53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3",
        ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p,
    )
    def cpuid(leaf, sub=0):
        registers = (ctypes.c_uint32 * 4)()
        call(leaf, sub, registers)
        return list(registers)
    places = {
        (1, 0, 2): {0: "pni", 9: "ssse3", 12: "fma", 19: "sse4_1", 20: "sse4_2", 28: "avx", 29: "f16c"},
        (1, 0, 3): {25: "sse", 26: "sse2"},
        (7, 0, 1): {3: "bmi1", 5: "avx2", 8: "bmi2", 16: "avx512f", 30: "avx512bw", 31: "avx512vl"},
        (7, 0, 2): {11: "avx512_vnni"},
        (7, 1, 0): {4: "avx_vnni", 5: "avx512_bf16"},
    }
    flags = [
        name for (leaf, sub, register), bits in places.items() for bit, name in bits.items()
        if cpuid(leaf, sub)[register] >> bit & 1
    ]
    brand = b"".join(w.to_bytes(4, "little") for leaf in (2, 3, 4) for w in cpuid(0x80000000 + leaf))
    name = brand.split(b"\0")[0].decode().strip()
    return [("vendor_id", "GenuineIntel"), ("model name", name), ("flags", " ".join(flags))]

fields = arm64() if platform.machine() == "aarch64" else x86()
for number in range(os.cpu_count()):
    for name, value in [("processor", number), *fields]:
        print(f"{name}\t: {value}")
    print()
END
mkdir -p "$root/proc"
emulated "$scratch/cpuinfo.py" >"$scratch/$target/cpuinfo.new"
mv "$scratch/$target/cpuinfo.new" "$root/proc/cpuinfo"

# Emulating the wrong processor would prove nothing.
kind=$(emulated -c 'from distill.core.machine.cpu import detect_target; print(detect_target())')
[[ $kind == "$target" ]] || fail "-cpu $cpu is $kind to distill, not $target"
if [[ $# -gt 0 ]]; then
    echo "emulate.sh: $target: $cpu: $(grep -m1 -E '^(flags|Features)' "$root/proc/cpuinfo" | cut -d: -f2)" >&2
    emulated -m distill.cli "$@"
fi
