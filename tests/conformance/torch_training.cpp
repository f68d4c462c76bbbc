#include "conformance/torch_training.hpp"

namespace mat::conformance {

template Adapters torch_training<float>();
template Adapters torch_training<double>();

}  // namespace mat::conformance
