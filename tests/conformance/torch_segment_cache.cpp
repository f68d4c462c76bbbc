#include "conformance/batch_layout.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/memory/recurrent_encoder.hpp>
#include <mat/memory/segment_cache.hpp>

namespace mat::conformance {

namespace {

// A stack of layers with Transformer-XL's cache, absolute or with relative positions.

/// One layer under the file's names: projections apart, and without biases of the attention.
template <class T>
struct FileLayer {
  struct Parameters {
    Matrix<T> u, v, wq, wk, wv, wo, wr, w1, w2;
    Vector<T> b1, b2, norm1, norm1_bias, norm2, norm2_bias;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("u", visitor, p.u...);
      visit_tensor("v", visitor, p.v...);
      visit_tensor("wq.weight", visitor, p.wq...);
      visit_tensor("wk.weight", visitor, p.wk...);
      visit_tensor("wv.weight", visitor, p.wv...);
      visit_tensor("wo.weight", visitor, p.wo...);
      visit_tensor("wr.weight", visitor, p.wr...);
      visit_tensor("w1.weight", visitor, p.w1...);
      visit_tensor("w1.bias", visitor, p.b1...);
      visit_tensor("w2.weight", visitor, p.w2...);
      visit_tensor("w2.bias", visitor, p.b2...);
      visit_tensor("norm1.weight", visitor, p.norm1...);
      visit_tensor("norm1.bias", visitor, p.norm1_bias...);
      visit_tensor("norm2.weight", visitor, p.norm2...);
      visit_tensor("norm2.bias", visitor, p.norm2_bias...);
    }
  };

  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }

 private:
  Parameters parameters_;
};

template <class T>
struct FileParameters {
  std::vector<FileLayer<T>> layers;

  template <class Visitor, class... P>
  static void visit(Visitor&& visitor, P&... p) {
    visit_layers("layers", visitor, p.layers...);
  }
};

/// Calls fn(the library's, the file's) for each tensor of a layer's parameters, or of their gradients. The library's
/// biases of the attention stay 0, and their gradients are nobody's.
template <class T, class Function>
void for_each_part(typename EncoderLayer<T>::Parameters& own, typename FileLayer<T>::Parameters& file,
                   const Function& fn) {
  auto& attention = own.self_attn.parameters();
  const Index d = attention.out_proj.parameters().weight.rows();
  const auto rows = [&](Index first) { return attention.in_proj_weight.view().middle_rows(first, d); };
  fn(rows(0), file.wq);
  fn(rows(d), file.wk);
  fn(rows(2 * d), file.wv);
  fn(attention.out_proj.parameters().weight.view(), file.wo);
  if (attention.relative) {
    fn(attention.relative->parameters().weight.view(), file.wr);
    fn(attention.relative->parameters().u.view(), file.u);
    fn(attention.relative->parameters().v.view(), file.v);
  }
  auto& feed_forward = own.feed_forward.parameters();
  fn(feed_forward.linear1.parameters().weight.view(), file.w1);
  fn(feed_forward.linear1.parameters().bias.view(), file.b1);
  fn(feed_forward.linear2.parameters().weight.view(), file.w2);
  fn(feed_forward.linear2.parameters().bias.view(), file.b2);
  fn(own.norm1.parameters().weight.view(), file.norm1);
  fn(own.norm1.parameters().bias.view(), file.norm1_bias);
  fn(own.norm2.parameters().weight.view(), file.norm2);
  fn(own.norm2.parameters().bias.view(), file.norm2_bias);
}

template <class T>
using Model = RecurrentEncoder<T, SegmentCache<T>>;

template <class T>
[[nodiscard]] FileParameters<T> file_parameters(typename Model<T>::Parameters& p) {
  FileParameters<T> file;
  for (auto& layer : p.encoder.parameters().layers) {
    for_each_part<T>(layer.parameters(), file.layers.emplace_back().parameters(),
                     [](const auto& own, auto& other) { other.assign(own); });
  }
  return file;
}

template <class T>
void load(const Case& c, Model<T>& model) {
  FileParameters<T> file = file_parameters<T>(model.parameters());
  c.load(file);
  for (std::size_t i = 0; i < file.layers.size(); ++i) {
    for_each_part<T>(model.parameters().encoder.parameters().layers[i].parameters(), file.layers[i].parameters(),
                     [](const auto& own, const auto& other) {
                       for (Index r = 0; r < own.rows(); ++r) std::copy_n(other.view().row(r), own.cols(), own.row(r));
                     });
  }
}

template <class T>
void run_segment_cache(const Case& c, Results& results) {
  typename Model<T>::Config config;
  config.encoder.layer = encoder_layer_config<T>(c);
  if (c.flag("rel")) config.encoder.layer.attention.relative.emplace();
  config.encoder.num_layers = c.config().at("layers").as_index();
  config.memory.length = c.config().at("mem_len").as_index();
  config.causal = true;
  Model<T> model(config, Random(1));
  load<T>(c, model);

  const std::size_t count = c.config().at("segments").as_array().size();
  const auto name = [](const char* kind, std::size_t i) { return std::string(kind) + "." + std::to_string(i); };
  std::vector<BatchLayout> layouts;
  std::vector<Array<T>> x;
  for (std::size_t i = 0; i < count; ++i) {
    layouts.emplace_back(c.shape(name("input.segment", i)), c.flag("batch_first"));
    x.push_back(layouts[i].rows(c.array<T>(name("input.segment", i))));
  }
  std::vector<typename Model<T>::State> states(count + 1);
  std::deque<typename Model<T>::Cache> caches(count);
  model.initial(layouts.at(0).batch(), states[0]);
  for (std::size_t i = 0; i < count; ++i) {
    const Sequences sequences = layouts[i].sequences();
    const auto y = model.forward({matrix_of(x[i]), &sequences}, states[i], &states[i + 1], {}, caches[i]);
    results.set(name("output.y", i), layouts[i].unrow(y));
  }
  auto grads = zeros_like(model.parameters());
  typename Model<T>::State dnext, dstate;
  zero_state_like(states[count], dnext);
  for (std::size_t i = count; i-- > 0;) {
    const Array<T> dy = layouts[i].rows(c.array<T>(name("grad_output.y", i)));
    zero_state_like(states[i], dstate);
    const auto dx = model.backward(matrix_of(dy), &dnext, states[i], caches[i], dstate, grads);
    results.set(name("grad_input.segment", i), layouts[i].unrow(dx));
    std::swap(dnext, dstate);
  }
  results.set_gradients(file_parameters<T>(grads));
}

}  // namespace

template <class T>
Adapters torch_segment_cache() {
  return {{"memory.segment_cache", run_segment_cache<T>}};
}

template Adapters torch_segment_cache<float>();
template Adapters torch_segment_cache<double>();

}  // namespace mat::conformance
