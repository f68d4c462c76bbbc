#pragma once

namespace mat::test {

/// How many times the program has asked for heap memory so far, by operator new or by malloc itself.
[[nodiscard]] long allocations();

/// False under a sanitizer, which needs malloc for itself.
[[nodiscard]] bool allocations_are_counted();

}  // namespace mat::test
