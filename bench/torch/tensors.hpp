#pragma once

#include <ATen/ATen.h>
#include <bench/peer.hpp>
#include <map>
#include <string>

namespace bench {

/// A copy of plain numbers.
[[nodiscard]] inline at::Tensor tensor_of(const float* data, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(data), shape, at::kFloat).clone();
}
[[nodiscard]] inline at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::kLong);
}

[[nodiscard]] inline Result result_of(std::string name, const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().contiguous();
  return {std::move(name), {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()}};
}

/// True where a token is not padding: [sequences, longest].
[[nodiscard]] inline at::Tensor token_mask(const std::vector<std::int64_t>& lengths) {
  const at::Tensor sizes = tensor_of(lengths);
  return at::arange(sizes.max().item<std::int64_t>()).unsqueeze(0) < sizes.unsqueeze(1);
}

[[nodiscard]] inline bool all_equal(const std::vector<std::int64_t>& lengths) {
  return lengths.end() == std::adjacent_find(lengths.begin(), lengths.end(), std::not_equal_to<>());
}

/// The weights of a model by their names, in the order in which they came.
class Weights {
 public:
  Weights(const std::vector<Array>& arrays, bool requires_grad) {
    for (const Array& array : arrays) {
      names_.push_back(array.name);
      all_.push_back(tensor_of(array.data, array.shape).set_requires_grad(requires_grad));
      by_name_[array.name] = all_.back();
    }
  }
  [[nodiscard]] const at::Tensor& operator[](const std::string& name) const { return by_name_.at(name); }
  [[nodiscard]] const std::vector<at::Tensor>& all() const { return all_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> all_;
  std::map<std::string, at::Tensor> by_name_;
};

}  // namespace bench
