#pragma once

namespace mat::test {

/// How many times the program has asked for heap memory so far, by operator new or by malloc.
[[nodiscard]] long allocations();

/// True if calls of malloc itself are counted; under a sanitizer only operator new is.
[[nodiscard]] bool malloc_is_counted();

}  // namespace mat::test
