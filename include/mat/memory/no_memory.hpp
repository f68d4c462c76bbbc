#pragma once

#include <mat/core/random.hpp>
#include <mat/memory/memory.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Remembers nothing: the stack as it is, to compare the memories with.
///
/// Threads: const.
template <class T>
class NoMemory {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::nowhere;

  struct Config {
    Index features = 0;
  };
  struct Parameters {
    template <class Visitor, class... P>
    static void visit(Visitor&&, P&...) {}
  };
  struct State {
    template <class Visitor, class... S>
    static void visit(Visitor&&, S&...) {}
  };
  struct ReadCache {};
  struct WriteCache {};

  NoMemory(const Config& config, const Random&) : config_(config) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  void initial(Index, State&) const {}
  void initial_backward(const State&, Parameters&) const {}
  ConstMatrixView<T> read(const State&, ConstMatrixView<T>, const Sequences&, ReadCache&) const { return {}; }
  void write(const State&, ConstMatrixView<T>, const Sequences&, State&, WriteCache&) const {}
  ConstMatrixView<T> read_backward(ConstMatrixView<T>, const State&, ReadCache&, State&, Parameters&) const {
    return {};
  }
  ConstMatrixView<T> write_backward(const State&, const State&, WriteCache&, State&, Parameters&) const { return {}; }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
