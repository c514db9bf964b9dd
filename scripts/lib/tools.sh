# Where the Python tools of this project live. Sourced, never run; sets variables and functions only.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools_venv=$root/target/tools/venv

# Prints the first Python that can import the given module: the project's own environment, then
# whatever is on PATH, then the system's. `python3` on PATH may be a version manager's shim.
python_with() {
    local candidate
    for candidate in "$tools_venv/bin/python" python3 /usr/bin/python3; do
        if "$candidate" -c "import $1" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "no Python here has the module $1: run scripts/setup" >&2
    return 1
}
