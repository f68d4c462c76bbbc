#include "conformance/torch_attention.hpp"

namespace mat::conformance {

template Adapters torch_attention<float>();
template Adapters torch_attention<double>();

}  // namespace mat::conformance
