#pragma once

#include <mat/core/parallel.hpp>

namespace mat::test {

/// So many threads until the end of the scope.
class Threads {
 public:
  explicit Threads(int count) { set_threads(count); }
  ~Threads() { set_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = max_threads();
};

/// fn() with 2, 3 and 4 threads, compared with one: same(a, b). Work below kParallelGrain runs on one in any case.
template <class Function, class Same>
bool same_for_threads(const Function& fn, const Same& same) {
  const auto with = [&](int count) {
    const Threads threads(count);
    return fn();
  };
  const auto one = with(1);
  return same(with(2), one) && same(with(3), one) && same(with(4), one);
}

}  // namespace mat::test
