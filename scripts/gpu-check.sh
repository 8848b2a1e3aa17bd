#!/usr/bin/env bash
# Everything that can be found out about a GPU in ten minutes, on a bare machine without a network: a clone of this repository, a PyTorch for
# CUDA 13 that python3 finds, nvcc, CMake and ninja. The C++ part needs no Node; the rest says what it lacks.
#
#   scripts/gpu-check.sh [--device cuda:0] [--out FOLDER]    on a machine with a GPU
#   scripts/gpu-check.sh --software                          the same stages on the software device, with what is built already
#
# Each stage has a time limit, and the next begins whatever became of it. A short table comes last. The exit code is 0 if nothing failed.
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
device=cuda:0
out=
is_software=false

usage() { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while (($# > 0)); do
  case $1 in
    --device) device=${2:?--device needs a device such as cuda:0}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --software) is_software=true; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "gpu-check: expected --device, --out or --software but received $1" >&2; exit 2 ;;
  esac
done

out=${out:-$(mktemp -d /tmp/magrpo-gpu-check.XXXXXX)}
mkdir -p "$out" || exit 2
table=()
failures=0

# report NAME RESULT SECONDS NOTE: a line of the table.
report() { table+=("$(printf '%-22s %-8s %6s  %s' "$1" "$2" "$3" "$4")"); }

# stage NAME LIMIT COMMAND...: runs it with its output in a file of that name, and reports it. Its note is the last line it wrote.
stage() {
  local name=$1 limit=$2 begin=$SECONDS code result
  shift 2
  local log="$out/${name// /-}.log"
  echo "gpu-check: $name (at most $limit s) ..." >&2
  timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null
  code=$?
  case $code in
    0) result=passed ;;
    124 | 137) result=late; failures=$((failures + 1)) ;;
    *) result=failed; failures=$((failures + 1)) ;;
  esac
  report "$name" "$result" "$((SECONDS - begin))" "$(tail -n 1 "$log" | cut -c 1-90)"
  return $code
}

skip() { report "$1" skipped 0 "$2"; }

# What a PyTorch knows of itself: its folder, whether it was built for CUDA, and its C++ ABI's place.
torch_folder() {
  python3 - <<'PYTHON'
import os, sys
try:
    import torch
except ImportError:
    sys.exit('python3 has no torch')
if torch.version.cuda is None:
    sys.exit(f'the torch {torch.__version__} of python3 is not one for CUDA')
print(os.path.dirname(torch.__file__))
PYTHON
}

# The toolkit with nvcc: CUDA_HOME, or where the nvcc on PATH is.
toolkit_folder() {
  local nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
  nvcc=${nvcc:-$(command -v nvcc)}
  [[ -n $nvcc && -x $nvcc ]] || return 1
  dirname "$(dirname "$(readlink -f "$nvcc")")"
}

# The compute capability of the first GPU, as CMake takes it; A100, H100 and newer where the driver does not say.
architectures() {
  local found
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d ' ')
  [[ $found =~ ^[0-9]+\.[0-9]+$ ]] && echo "$found" || echo '8.0;9.0+PTX'
}

build_tests() {
  cmake -S "$root" -B "$root/build/gpu-check" -G Ninja -DMAGRPO_CUDA=ON -DMAGRPO_TESTS=ON \
    "-DTorch_DIR=$torch/share/cmake/Torch" "-DCMAKE_CUDA_COMPILER=$toolkit/bin/nvcc" "-DCUDAToolkit_ROOT=$toolkit" \
    "-DCUDA_TOOLKIT_ROOT_DIR=$toolkit" "-DTORCH_CUDA_ARCH_LIST=$(architectures)" &&
    cmake --build "$root/build/gpu-check" --target magrpo_test
}

# The addon and the compiled TypeScript, by the package's own set-up. Without a network it needs node_modules and Node's headers to be there.
build_addon() {
  cd "$root" && MAGRPO_LIBTORCH=$torch CUDA_HOME=$toolkit node scripts/setup.mjs --only addon,typescript
}

node_part() {
  local quick=()
  $is_software && quick=(--quick)
  stage 'doctor --check' 200 node "$root/bin/magrpo.mjs" doctor --check "$device" "${quick[@]}"
  if [[ -d $root/node_modules/tsx ]]; then
    cd "$root" && stage 'bench gpu' 300 npm run -s bench -- gpu --device "$device" "${quick[@]}"
  else
    skip 'bench gpu' 'node_modules has no tsx: run npm ci where there is a network'
  fi
}

echo "gpu-check: logs go to $out" >&2

if $is_software; then
  export MAGRPO_DEVICE=software
  tests=$root/build/Release/magrpo_device_test
  if [[ -x $tests ]]; then stage 'native tests' 240 "$tests"; else skip 'native tests' 'not built: npm run test:native'; fi
  if [[ -f $root/build/Release/magrpo.node ]]; then node_part; else skip 'doctor --check' 'not built: npm run build'; fi
else
  export MAGRPO_CUDA=1
  stage driver 30 nvidia-smi
  if ! torch=$(torch_folder 2>"$out/torch.log"); then
    report build failed 0 "$(tail -n 1 "$out/torch.log")"
    failures=$((failures + 1))
  elif ! toolkit=$(toolkit_folder); then
    report build failed 0 'no nvcc: set CUDA_HOME or PATH'
    failures=$((failures + 1))
  else
    export -f build_tests build_addon architectures
    export root torch toolkit
    if stage 'build of the tests' 420 bash -c build_tests; then
      stage 'native tests' 180 "$root/build/gpu-check/magrpo_test"
    else
      skip 'native tests' 'they were not built'
    fi
    if ! command -v node >/dev/null; then
      skip 'doctor --check' 'there is no node (20 or newer)'
      skip 'bench gpu' 'there is no node (20 or newer)'
    elif [[ ! -d $root/node_modules ]]; then
      skip 'doctor --check' 'there are no node_modules: run npm ci where there is a network, and copy them'
      skip 'bench gpu' 'there are no node_modules'
    elif stage 'build of the addon' 420 bash -c build_addon; then
      node_part
    else
      skip 'doctor --check' 'the addon was not built'
      skip 'bench gpu' 'the addon was not built'
    fi
  fi
fi

echo
$is_software && echo 'This was the software device. It is no GPU: it shows errors, not speed.'
printf '%-22s %-8s %6s  %s\n' stage result seconds 'last line'
printf '%s\n' "${table[@]}"
exit $((failures > 0))
