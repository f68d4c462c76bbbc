#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/attention.hpp>
#include <mat/ops/attention_weights.hpp>

namespace packed_keys_test {

using namespace mat;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

/// The keys of these sequences, packed.
template <class T>
PackedKeys<T> packed(ConstMatrixView<T> k, const Sequences& sequences, Index kv_heads) {
  PackedKeys<T> keys({sequences.count(), kv_heads, k.cols() / kv_heads, sequences.longest() + 3});
  for (Index b = 0; b < sequences.count(); ++b) {
    for (Index i = 0; i < sequences.length(b); ++i) keys.set(b, i, k.row(sequences.begin(b) + i));
  }
  return keys;
}

}  // namespace

TEMPLATE_TEST_CASE("attention to packed keys has the bits of attention to plain ones", "[ops]", float, double) {
  using T = TestType;
  const Sequences keys({600, 3, 70});
  for (const auto& lengths : std::vector<std::vector<Index>>{{1, 1, 1}, {3, 2, 4}, {40, 1, 0}}) {
    for (const Index kv_heads : {1, 2, 6}) {
      for (const Index head_dim : {5, 16, 32}) {
        const Sequences queries(lengths);
        const auto q = random_tensor<T, 2>({queries.rows(), 6 * head_dim}, 1);
        const auto k = random_tensor<T, 2>({keys.rows(), kv_heads * head_dim}, 2);
        const auto v = random_tensor<T, 2>({keys.rows(), kv_heads * head_dim}, 3);
        const PackedKeys<T> packed_keys = packed<T>(k, keys, kv_heads);
        AttentionOptions<T> options;
        options.heads = 6;
        options.kv_heads = kv_heads;
        AttentionCache<T> cache, packed_cache;
        for (const auto& mask : {AttentionMask<T>::causal(), AttentionMask<T>::causal_window(50)}) {
          options.mask = mask;
          const auto expected = attention_forward<T>(options, {q, k, v, queries, keys}, cache);
          CHECK(same_bits<T>(attention_forward<T>(options, {q, {}, v, queries, keys, &packed_keys}, packed_cache),
                             expected));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("a query has the same bits alone and among many that see the same keys", "[ops]", float, double) {
  using T = TestType;
  for (const Index head_dim : {7, 32}) {
    const auto q = random_tensor<T, 2>({300, 2 * head_dim}, 1), k = random_tensor<T, 2>({300, 2 * head_dim}, 2),
               v = random_tensor<T, 2>({300, 2 * head_dim}, 3);
    AttentionOptions<T> options;
    options.heads = 2;
    options.mask = AttentionMask<T>::causal_window(280);
    AttentionCache<T> cache, last_cache;
    const Sequences all = Sequences::single(300);
    const auto y = attention_forward<T>(options, {q, k, v, all, all}, cache);
    for (const Index count : {1, 2, 4, 5}) {
      const Sequences last = Sequences::single(count);
      const auto tail =
          attention_forward<T>(options, {q.view().middle_rows(300 - count, count), k, v, last, all}, last_cache);
      CHECK(same_bits<T>(tail, y.middle_rows(300 - count, count)));
    }
  }
}

TEST_CASE("packed keys that do not fit are refused, and so is a backward", "[ops]") {
  const Sequences one = Sequences::single(2);
  const auto q = random_tensor<float, 2>({2, 8}, 1);
  AttentionOptions<float> options;
  options.heads = 2;
  AttentionCache<float> cache;
  const auto attend = [&](const PackedKeys<float>& keys) {
    (void)attention_forward<float>(options, {q, {}, q, one, one, &keys}, cache);
  };
  CHECK_THROWS_WITH(attend(PackedKeys<float>({1, 1, 4, 2})),
                    "attention_forward: kv_heads of packed_keys is 1, expected kv_heads, 2");
  CHECK_THROWS_WITH(attend(PackedKeys<float>({1, 2, 5, 2})),
                    "attention_forward: head_dim of packed_keys is 5, expected that of the queries, 4");
  CHECK_THROWS_WITH(attend(PackedKeys<float>({3, 2, 4, 2})),
                    "attention_forward: batch of packed_keys is 3, expected the number of key sequences, 1");
  CHECK_THROWS_WITH(
      attend(PackedKeys<float>({1, 2, 4, 1})),
      "attention_forward: the longest key sequence is 2, expected at most the capacity of packed_keys, 1");
  const PackedKeys<float> keys({1, 2, 4, 2});
  attend(keys);
  Matrix<float> d({2, 8});
  Tensor<float, 3> weights({2, 2, 2});
  CHECK_THROWS_WITH(attention_backward<float>(q, options, {q, {}, q, one, one, &keys}, cache, {d, d, d, {}}),
                    "attention_backward: packed_keys is 1, expected none, but k");
  CHECK_THROWS_WITH(attention_weights<float>(options, {q, {}, q, one, one, &keys}, 0, AttentionStage::weights, weights),
                    "attention_weights: packed_keys is 1, expected none, but k");
}

TEST_CASE("packed keys that refuse other sizes are as they were", "[ops]") {
  PackedKeys<float> keys({1, 2, 4, 8});
  const Index before = keys.bytes();
  CHECK_THROWS_AS(keys.assign({1, 2, 4, Index{1} << 57}), ValueError);
  CHECK(keys.config().capacity == 8);
  CHECK(keys.bytes() == before);
  const std::vector<float> key(8, 1.0F);
  keys.set(0, 7, key.data());
}

}  // namespace packed_keys_test
