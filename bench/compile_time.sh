#!/bin/sh
# How long does a program with a forward of the article's model take to compile, beside one with Eigen's product?
# Prints the least of REPEAT compilations for each set of flags, in seconds of processor time, and their ratio.
#   bench/compile_time.sh [compiler]
set -eu
cd "$(dirname "$0")/.."
compiler=${1:-g++}
repeat=${REPEAT:-5}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/eigen.cpp" <<'CPP'
#include <Eigen/Core>
int main(int argc, char**) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Matrix a = Matrix::Ones(argc, argc), b = Matrix::Ones(argc, argc);
  const Matrix c = a * b;
  return static_cast<int>(c(0, 0));
}
CPP
cat > "$folder/mat.cpp" <<'CPP'
#include <mat/mat.hpp>
int main(int argc, char**) {
  mat::MAT<float>::Config config;
  config.input_dim = 8;
  config.hidden_dim = 16;
  const mat::MAT<float> model(config, mat::Random(1));
  mat::MAT<float>::Cache cache;
  const mat::Matrix<float> x({argc, 8});
  return static_cast<int>(model.forward(x, mat::Sequences::single(argc), cache)(0, 0));
}
CPP

# The least processor time of compiling $1 with the flags $2.
least() {
  i=0
  while [ "$i" -lt "$repeat" ]; do
    # shellcheck disable=SC2086 # flags are several words
    ( "$compiler" -std=c++17 $2 -w -Iinclude -isystem /usr/include/eigen3 -c "$1" -o "$folder/out.o"; times ) |
      sed -n 2p | sed -E 's/([0-9]+)m([0-9.]+)s .*/\1 \2/' | awk '{ print $1 * 60 + $2 }'
    i=$((i + 1))
  done | sort -n | head -n 1
}

printf '%-26s %10s %10s %7s\n' flags 'Eigen [s]' 'mat [s]' ratio
for flags in "-O0" "-O2" "-O2 -march=x86-64-v3" "-O3 -march=native"; do
  eigen=$(least "$folder/eigen.cpp" "$flags")
  mat=$(least "$folder/mat.cpp" "$flags")
  printf '%-26s %10s %10s %7s\n' "$flags" "$eigen" "$mat" "$(awk "BEGIN { printf \"%.2f\", $mat / $eigen }")"
done
