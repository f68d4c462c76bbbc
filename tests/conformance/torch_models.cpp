#include "conformance/torch_models.hpp"

namespace mat::conformance {

template Adapters torch_models<float>();
template Adapters torch_models<double>();

}  // namespace mat::conformance
