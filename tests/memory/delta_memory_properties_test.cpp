#include "memory/delta_memory_streams.hpp"

namespace delta_memory_properties_test {

using namespace delta_memory_test;

TEST_CASE("P5: any split of a stream into segments writes the same", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({40, 6}, 2);
    const auto whole = stream(memory, x, {40}).state;
    for (const std::vector<Index>& lengths :
         {std::vector<Index>(40, 1), {3, 37}, {8, 8, 8, 8, 8}, {1, 0, 22, 0, 17}, {39, 1}}) {
      const auto split = stream(memory, x, lengths).state;
      CHECK(largest_difference(split.matrix, whole.matrix) < 1e-13);
      CHECK(same_bits(split.last, whole.last));
    }
  }
}

TEMPLATE_TEST_CASE("P6: a sequence reads and writes the same bits alone and in any batch", "[memory]", float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    const std::vector<Index> lengths{3, 0, 9, 1};
    const Sequences sequences(lengths);
    const auto x = random_tensor<T, 2>({13, 6}, 2);
    typename DeltaMemory<T>::State state, next, alone, alone_next;
    memory.initial(4, state);
    const auto filled = random_tensor<T, 2>(state.matrix.shape(), 3);
    for (Index i = 0; i < filled.size(); ++i) state.matrix.data()[i] = std::abs(filled.data()[i]);
    typename DeltaMemory<T>::ReadCache read;
    typename DeltaMemory<T>::WriteCache write;
    const Matrix<T> r(memory.read(state, x, sequences, read));
    memory.write(state, x, sequences, next, write);
    for (Index b = 0; b < 4; ++b) {
      memory.initial(1, alone);
      const Index rows = alone.matrix.rows(), begin = sequences.begin(b), length = sequences.length(b);
      alone.matrix = Matrix<T>(state.matrix.view().middle_rows(b * rows, rows));
      const auto mine = x.view().middle_rows(begin, length);
      CHECK(
          same_bits<T>(memory.read(alone, mine, Sequences::single(length), read), r.view().middle_rows(begin, length)));
      memory.write(alone, mine, Sequences::single(length), alone_next, write);
      CHECK(same_bits<T>(alone_next.matrix, next.matrix.view().middle_rows(b * rows, rows)));
      if (length > 0) continue;
      CHECK(same_bits(alone_next.matrix, alone.matrix));
      CHECK(same_bits(alone_next.last, alone.last));
    }
  }
}

TEMPLATE_TEST_CASE("P10: a stream goes on from a copied state with the same bits, and streams do not leak", "[memory]",
                   float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    const auto x = random_tensor<T, 2>({30, 6}, 2), other = random_tensor<T, 2>({30, 6}, 3);
    const std::vector<Index> first{5, 7}, second{11, 7};
    const auto whole = stream(memory, x, {5, 7, 11, 7});
    const auto half = stream(memory, x, first);
    const auto copy = half.state;
    (void)stream(memory, other, {30}, &half.state);  // another stream in between
    const Matrix<T> rest(x.view().middle_rows(12, 18));
    const auto resumed = stream(memory, rest, second, &copy);
    CHECK(same_state(resumed.state, whole.state));
    CHECK(same_bits(resumed.reads[0], whole.reads[2]));
    CHECK(same_bits(resumed.reads[1], whole.reads[3]));
  }
}

TEMPLATE_TEST_CASE("P11: a changed token changes no reading before the next segment", "[memory]", float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    auto x = random_tensor<T, 2>({20, 6}, 2);
    const auto before = stream(memory, x, {6, 8, 6});
    for (Index j = 0; j < 6; ++j) x(9, j) += 1;
    const auto after = stream(memory, x, {6, 8, 6});
    CHECK(same_bits(after.reads[0], before.reads[0]));
    CHECK(same_bits<T>(after.reads[1].view().middle_rows(0, 3), before.reads[1].view().middle_rows(0, 3)));
    CHECK(same_bits<T>(after.reads[1].view().middle_rows(4, 4), before.reads[1].view().middle_rows(4, 4)));
    CHECK(!same_bits(after.reads[2], before.reads[2]));
  }
}

TEST_CASE("P12: a reading two segments later teaches every parameter of read and write", "[memory]") {
  for (DeltaMemory<double>& memory : memories<double>()) {
    const Unrolled run(memory, {{4}, {4}, {4}});
    const Unrolled::Gradients g = run.gradients(/*only_the_last_reading=*/true);
    for_each_parameter(
        [&](const ParameterName& name, const auto& gradient) {
          INFO(name.str());
          double largest = 0;
          for (Index i = 0; i < gradient.size(); ++i) largest = std::max(largest, std::abs(gradient.data()[i]));
          CHECK(largest > 1e-6);
        },
        g.parameters);
    double largest = 0;
    for (Index i = 0; i < g.dh[0].size(); ++i) largest = std::max(largest, std::abs(g.dh[0].data()[i]));
    CHECK(largest > 1e-6);
  }
}

TEST_CASE("P13: a segment shorter than a chunk is written", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({2, 6}, 2);
    DeltaMemory<double>::State start;
    memory.initial(1, start);
    CHECK(largest_difference(stream(memory, x, {2}).state.matrix, start.matrix) > 0.01);
  }
}

}  // namespace delta_memory_properties_test
