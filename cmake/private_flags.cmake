# How this project compiles its own programs: every one of them links mat_private_flags. The target is not exported and
# mat::mat does not link it, so no warning, no -march, no sanitizer and no OpenMP reaches the users of the library.
include(CheckCXXCompilerFlag)

add_library(mat_private_flags INTERFACE)
target_link_libraries(mat_private_flags INTERFACE mat::mat)
set(CMAKE_CXX_EXTENSIONS OFF)

if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(mat_private_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 takes its own _mm512_undefined_ps() for a mistake wherever Eigen uses AVX-512.
  target_compile_options(mat_private_flags INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(MAT_WARNINGS_AS_ERRORS)
  set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()

if(MAT_ARCH)
  string(MAKE_C_IDENTIFIER "MAT_HAS_MARCH_${MAT_ARCH}" has_arch)
  check_cxx_compiler_flag(-march=${MAT_ARCH} ${has_arch}) # other processors do not know x86-64-v3
  if(${has_arch})
    target_compile_options(mat_private_flags INTERFACE -march=${MAT_ARCH})
  endif()
endif()

if(MAT_OPENMP)
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(TARGET OpenMP::OpenMP_CXX)
    target_link_libraries(mat_private_flags INTERFACE OpenMP::OpenMP_CXX)
  endif()
endif()

if(MAT_SANITIZE)
  # Left out are checks that double the time of compiling and find what is found without them: a null pointer, one past its
  # object and a wrapped one by the address sanitizer, a misaligned load of a pack by the processor, which faults.
  target_compile_options(mat_private_flags INTERFACE -fsanitize=${MAT_SANITIZE} -fno-sanitize=null,alignment,object-size,pointer-overflow
                                                     -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(mat_private_flags INTERFACE -fsanitize=${MAT_SANITIZE})
endif()
