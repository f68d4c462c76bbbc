#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/any_memory.hpp>
#include <mat/memory/recurrence.hpp>
#include <mat/memory/recurrent_encoder.hpp>

namespace any_memory_test {

using namespace mat;
using namespace mat::test;

namespace {

constexpr Index kFeatures = 6, kSegments = 3;
const Sequences kSequences({3, 0, 2});

template <class Memory>
[[nodiscard]] RecurrentEncoder<double, Memory> make_encoder(const typename Memory::Config& memory, bool causal) {
  typename RecurrentEncoder<double, Memory>::Config config;
  config.encoder.num_layers = 2;
  config.encoder.layer.d_model = kFeatures;
  config.encoder.layer.nhead = 2;
  config.encoder.layer.dim_feedforward = 8;
  config.encoder.layer.norm_first = true;
  config.memory = memory;
  config.causal = causal;
  return RecurrentEncoder<double, Memory>(config, Random(3));
}

/// What three segments of a batch give: outputs, the last state and the gradients of everything that is learned.
template <class Memory>
struct Outcome {
  using Model = RecurrentEncoder<double, Memory>;

  std::vector<Matrix<double>> outputs;
  typename Model::State state;
  typename Model::Parameters grads;

  explicit Outcome(const Model& model) : grads(zeros_like(model.parameters())) {
    std::vector<Matrix<double>> inputs;
    for (std::uint64_t i = 0; i < kSegments; ++i) {
      inputs.push_back(random_tensor<double, 2>({kSequences.rows(), kFeatures}, i));
    }
    const Matrix<double> dy = random_tensor<double, 2>({kSequences.rows(), kFeatures}, 9);
    typename Recurrence<Model>::Cache cache;
    const auto segment = [&](Index i) {
      return typename Model::Segment{inputs[static_cast<std::size_t>(i)], &kSequences};
    };
    const auto loss = [&](Index, ConstMatrixView<double> y) {
      outputs.emplace_back(y);
      return dy.view();
    };
    state = Recurrence<Model>({}).backward(model, kSegments, segment, {}, loss, Dropout{}, cache, grads);
  }
};

/// The tensors of a value with their names, whatever class they are of.
template <class P>
[[nodiscard]] std::vector<std::pair<std::string, std::vector<double>>> named_numbers(const P& p) {
  std::vector<std::pair<std::string, std::vector<double>>> all;
  for_each_parameter(
      [&](const ParameterName& name, const auto& tensor) {
        std::vector<double> numbers;
        for (Index i = 0; i < tensor.size(); ++i) numbers.push_back(static_cast<double>(tensor.data()[i]));
        all.emplace_back(name.str(), numbers);
      },
      p);
  return all;
}

template <class Memory>
void check_same(MemoryKind kind) {
  const auto config = AnyMemory<double>::Config::of(kind, {3, 2});
  for (const bool causal : {false, true}) {
    CAPTURE(name_of(kind), causal);
    const auto any = make_encoder<AnyMemory<double>>(config, causal);
    const auto own = make_encoder<Memory>(std::get<typename Memory::Config>(config.memory), causal);
    CHECK(place_of<AnyMemory<double>>(config) == Memory::kPlace);
    REQUIRE(named_numbers(any.parameters()) == named_numbers(own.parameters()));
    const Outcome<AnyMemory<double>> of_any(any);
    const Outcome<Memory> of_own(own);
    CHECK(of_any.outputs == of_own.outputs);
    CHECK(named_numbers(of_any.state) == named_numbers(of_own.state));
    CHECK(named_numbers(of_any.grads) == named_numbers(of_own.grads));
  }
}

}  // namespace

TEST_CASE("a memory chosen at run time reads, writes and learns as its own class does, to the bit", "[memory]") {
  check_is_memory<double, AnyMemory<double>>();
  check_same<NoMemory<double>>(MemoryKind::none);
  check_same<SegmentCache<double>>(MemoryKind::cache);
  check_same<MemoryTokens<double>>(MemoryKind::tokens);
  check_same<DeltaMemory<double>>(MemoryKind::delta);
  check_same<DeltaMemory<double>>(MemoryKind::additive);
  check_same<NeuralMemory<double>>(MemoryKind::neural);
  check_same<KnnMemory<double>>(MemoryKind::knn);
  check_same<DeltaCache<double>>(MemoryKind::delta_cache);
}

TEST_CASE("the size of a kind reaches its memory", "[memory]") {
  const auto of = [](MemoryKind kind, const MemorySize& size) {
    return AnyMemory<float>::Config::of(kind, size).memory;
  };
  CHECK(std::get<SegmentCache<float>::Config>(of(MemoryKind::cache, {5, 0})).length == 5);
  CHECK(std::get<SegmentCache<float>::Config>(of(MemoryKind::cache, {})).length ==
        SegmentCache<float>::Config{}.length);
  CHECK(std::get<MemoryTokens<float>::Config>(of(MemoryKind::tokens, {5, 0})).count == 5);
  CHECK(std::get<DeltaCache<float>::Config>(of(MemoryKind::delta_cache, {5, 0})).length == 5);
  const auto knn = std::get<KnnMemory<float>::Config>(of(MemoryKind::knn, {5, 2}));
  CHECK(knn.capacity == 5);
  CHECK(knn.heads == 2);
  const auto additive = std::get<DeltaMemory<float>::Config>(of(MemoryKind::additive, {0, 2}));
  CHECK(additive.heads == 2);
  CHECK(additive.rule == LinearAttentionRule::additive);
  CHECK(std::get<DeltaMemory<float>::Config>(of(MemoryKind::delta, {})).rule == LinearAttentionRule::delta);
}

TEST_CASE("a state of another memory is refused", "[memory]") {
  const auto memory_of = [](MemoryKind kind) {
    auto config = AnyMemory<float>::Config::of(kind, {3, 2});
    config.features = kFeatures;
    return AnyMemory<float>(config, Random(1));
  };
  const auto cache = memory_of(MemoryKind::cache), delta = memory_of(MemoryKind::delta);
  AnyMemory<float>::State state, next;
  AnyMemory<float>::ReadCache read;
  AnyMemory<float>::WriteCache write;
  const Matrix<float> x({kSequences.rows(), kFeatures});
  cache.initial(kSequences.count(), state);
  CHECK_THROWS_WITH(delta.read(state, x, kSequences, read), "AnyMemory::read: the memory is cache, expected delta");
  CHECK_THROWS_WITH(delta.write(state, x, kSequences, next, write),
                    "AnyMemory::write: the memory is cache, expected delta");
  delta.initial(kSequences.count(), next);
  CHECK_THROWS_WITH(same_state(state, next), "for_each_parameter: the memory is delta, expected cache");
  auto grads = cache.parameters();
  CHECK_THROWS_WITH(delta.initial_backward(next, grads),
                    "AnyMemory::initial_backward: the memory is cache, expected delta");
  // A stack with as many memories as layers beside one with a memory for all, and one with none.
  const auto layers = make_encoder<AnyMemory<double>>(AnyMemory<double>::Config::of(MemoryKind::delta, {3, 2}), false);
  const auto none = make_encoder<AnyMemory<double>>(AnyMemory<double>::Config::of(MemoryKind::none), false);
  RecurrentEncoder<double, AnyMemory<double>>::State of_layers, of_none;
  layers.initial(1, of_layers);
  none.initial(1, of_none);
  CHECK_THROWS_WITH(same_state(of_layers, of_none),
                    "memories: the number of layers is 0, expected that of the first, 2");
}

}  // namespace any_memory_test
