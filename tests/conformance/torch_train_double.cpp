#include "conformance/torch_train.hpp"

namespace mat::conformance {

template Adapters torch_train<double>();

}  // namespace mat::conformance
