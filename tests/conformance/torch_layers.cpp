#include "conformance/torch_layers.hpp"

namespace mat::conformance {

template Adapters torch_layers<float>();
template Adapters torch_layers<double>();

}  // namespace mat::conformance
