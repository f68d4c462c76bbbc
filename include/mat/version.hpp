#pragma once

#include <Eigen/Core>

// The only file of the library that defines macros: the version, and the name of the binary interface.
#define MAT_VERSION_STRING "0.1.0"

// Eigen's alignment and packets depend on compiler flags, so two files compiled with different `-march` must not share
// a Tensor. The names below go into an inline namespace: such files then fail to link instead of corrupting memory.
#if defined(EIGEN_VECTORIZE_AVX512)
#define MAT_DETAIL_ISA avx512
#elif defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA)
#define MAT_DETAIL_ISA avx2fma
#elif defined(EIGEN_VECTORIZE_AVX2)
#define MAT_DETAIL_ISA avx2
#elif defined(EIGEN_VECTORIZE_AVX)
#define MAT_DETAIL_ISA avx
#elif defined(EIGEN_VECTORIZE_SSE4_2)
#define MAT_DETAIL_ISA sse42
#elif defined(EIGEN_VECTORIZE_SSE)
#define MAT_DETAIL_ISA sse
#elif defined(EIGEN_VECTORIZE_NEON)
#define MAT_DETAIL_ISA neon
#elif defined(EIGEN_VECTORIZE)
#define MAT_DETAIL_ISA other
#else
#define MAT_DETAIL_ISA scalar
#endif
#if defined(_OPENMP)
#define MAT_DETAIL_THREADS openmp
#else
#define MAT_DETAIL_THREADS serial
#endif
#define MAT_DETAIL_ABI(isa, threads, align, world, major, minor) \
  abi_##isa##_##threads##_align##align##_eigen##world##_##major##_##minor
#define MAT_DETAIL_EXPAND(isa, threads, align, world, major, minor) \
  MAT_DETAIL_ABI(isa, threads, align, world, major, minor)
#define MAT_ABI                                                                                     \
  MAT_DETAIL_EXPAND(MAT_DETAIL_ISA, MAT_DETAIL_THREADS, EIGEN_MAX_ALIGN_BYTES, EIGEN_WORLD_VERSION, \
                    EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)
