# Stock llama.cpp's library, from the package of the lock file: headers from its sources, stock_scores built against it.
# shellcheck shell=bash
# build_stock HERE: ./stock_scores and $libraries in the current directory.
build_stock() {
  local here=$1 ours=() name file
  libraries=$here/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
  # The package has the library, and its sources as a git bundle: only headers are taken from those.
  git clone -q --no-checkout "$here/node_modules/node-llama-cpp/llama/gitRelease.bundle" stock
  git -C stock checkout -q HEAD -- include ggml/include
  for name in libllama.v libggml.v libggml-base; do
    for file in "$libraries/$name"*.so; do ours+=("-l:$(basename "$file")"); done
  done
  g++ -O3 -march=native -ffast-math -std=c++17 -Istock/include -Istock/ggml/include "$here/stock_scores.cpp" -o stock_scores -L"$libraries" "${ours[@]}" \
    -Wl,-rpath,"$libraries"
}
