#pragma once

#include <mat/layers/initialize.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Where the projections of queries, keys and values lie in the parameters of a MultiHeadAttention, or in gradients of
/// them: rows of the packed weight, or weights of their own.
template <class P>
struct AttentionProjections {
  P& p;
  Index embed_dim, kv_dim;

  [[nodiscard]] auto query() const { return weight(p.q_proj_weight, 0, embed_dim); }
  [[nodiscard]] auto key() const { return weight(p.k_proj_weight, embed_dim, kv_dim); }
  [[nodiscard]] auto value() const { return weight(p.v_proj_weight, embed_dim + kv_dim, kv_dim); }
  // Empty without biases.
  [[nodiscard]] auto query_bias() const { return bias(0, embed_dim); }
  [[nodiscard]] auto key_bias() const { return bias(embed_dim, kv_dim); }
  [[nodiscard]] auto value_bias() const { return bias(embed_dim + kv_dim, kv_dim); }

  template <class W>
  [[nodiscard]] auto weight(W& own, Index begin, Index rows) const {
    auto all = p.in_proj_weight.view();
    return p.in_proj_weight.empty() ? own.view() : all.middle_rows(begin, rows);
  }
  [[nodiscard]] auto bias(Index begin, Index count) const {
    auto all = p.in_proj_bias.view();
    return all.empty() ? all : decltype(all)(all.data() + begin, {count});
  }
};

/// The first values of the projections, biases and learned keys, as PyTorch's. `Attention` is a MultiHeadAttention.
template <class T, class Attention>
void initialize_attention(const typename Attention::Config& c, const Random& random,
                          typename Attention::Parameters& p) {
  const Index kv_dim = c.kv_heads * (c.embed_dim / c.num_heads);
  const auto weight = [&](Matrix<T>& w, Index rows, Index cols, std::uint64_t key) {
    w.resize({rows, cols});
    initialize_xavier_uniform<T>(w, random.split(key));
  };
  if (c.kdim == c.embed_dim && c.vdim == c.embed_dim) {
    weight(p.in_proj_weight, c.embed_dim + 2 * kv_dim, c.embed_dim, 1);
  } else {
    weight(p.q_proj_weight, c.embed_dim, c.embed_dim, 2);
    weight(p.k_proj_weight, kv_dim, c.kdim, 3);
    weight(p.v_proj_weight, kv_dim, c.vdim, 4);
  }
  if (c.bias) {
    p.in_proj_bias = Vector<T>({c.embed_dim + 2 * kv_dim});
    p.out_proj.parameters().bias.fill(T(0));
  }
  if (c.add_bias_kv) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(kv_dim + kv_dim));
    p.bias_k.resize({1, 1, kv_dim});
    p.bias_v.resize({1, 1, kv_dim});
    initialize_normal<T>(p.bias_k, deviation, random.split(5));
    initialize_normal<T>(p.bias_v, deviation, random.split(6));
  }
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
