#!/usr/bin/env bash
# Install a wheel into fresh environments of the oldest and the newest Python of this machine, and use a Bundle there.
set -euo pipefail

if (($# != 3)); then
    echo "usage: smoke.sh BUNDLE IMAGES WHEEL     (PYTHONS='python3.10 python3.14' names other interpreters)" >&2
    exit 2
fi
bundle=$(realpath "$1") images=$(realpath "$2") wheel=$(realpath "$3")
constraints=$(realpath "$(dirname "$0")/../../constraints.txt")

# The Python of a minor version: on the PATH, or among pyenv's.
find_python() {
    local candidate
    for candidate in "python3.$1" "$(pyenv root 2>/dev/null)/versions/3.$1."*/bin/python; do
        "$candidate" -c "import ensurepip, venv" 2>/dev/null && echo "$candidate" && return
    done
}

if [[ -z ${PYTHONS:-} ]]; then
    found=()
    for minor in {10..14}; do
        python=$(find_python "$minor" || true)
        [[ -n $python ]] && found+=("$python")
    done
    ((${#found[@]})) || { echo "smoke.sh: no Python 3.10 to 3.14 here; install one" >&2; exit 1; }
    PYTHONS=${found[0]}
    ((${#found[@]} > 1)) && PYTHONS+=" ${found[-1]}"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for python in $PYTHONS; do
    "$python" --version
    "$python" -m venv "$scratch/venv"
    bin=$scratch/venv/bin
    "$bin/python" -m pip install --quiet --constraint "$constraints" "$wheel"
    "$bin/python" -m pip check
    (
        cd "$scratch"  # not where a checkout's distill would be imported
        "$bin/distill" verify "$bundle"
        "$bin/distill" predict "$bundle" "$images" --out "$scratch/predictions.jsonl"
        "$bin/python" -W error -c "import distill, sys; print(distill.load(sys.argv[1]).predict(text='vote').labels)" "$bundle"
    )
    rm -rf "$scratch/venv" "$scratch/predictions.jsonl"
done
