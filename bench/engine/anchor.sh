#!/bin/sh
# Builds llama.cpp's own benches, `llama-bench` and `llama-batched-bench`, against the very libraries that cargo built
# for the engine: same kernels, same flags. The benches' sources come from the sdist of llama-cpp-python (the crate
# leaves them out).
#
#     anchor.sh OUT [LLAMA_BUILD]
#
# OUT: where the two programs go. LLAMA_BUILD: `…/build/llama-cpp-sys-2-…/out` of the build to be measured; without it
# the newest release build of $CARGO_TARGET_DIR (or ./target).
set -eu
out=${1:?usage: anchor.sh OUT [LLAMA_BUILD]}
target=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/../.." && pwd)/target}
build=${2:-$(ls -dt "$target"/release/build/llama-cpp-sys-2-*/out | head -n 1)}
crate=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/llama-cpp-sys-2-0.1.161/llama.cpp | head -n 1)
mkdir -p "$out"
if [ ! -d "$out/sdist" ]; then
    python3 -m venv "$out/venv"
    "$out/venv/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python -d "$out" llama-cpp-python==0.3.36
    mkdir "$out/sdist"
    tar xzf "$out"/llama_cpp_python-0.3.36.tar.gz -C "$out/sdist" --strip-components=1
fi
for bench in llama-bench batched-bench; do
    # shellcheck disable=SC2046 # the lists of files are meant to be split
    g++ -O2 -std=c++17 -w -I"$crate/include" -I"$crate/ggml/include" -I"$crate/common" -I"$crate/vendor" \
        "$out/sdist/vendor/llama.cpp/tools/$bench"/*.cpp -o "$out/llama-${bench#llama-}" \
        -Wl,--start-group $(find "$build/build" -name '*.a') -Wl,--end-group -fopenmp -lpthread -ldl -lssl -lcrypto
done
echo "$build" > "$out/built-against"
