#include "conformance/torch_train.hpp"

namespace mat::conformance {

template Adapters torch_train<float>();

}  // namespace mat::conformance
