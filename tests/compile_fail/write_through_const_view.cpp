// A view of const numbers only reads.
// Refused with: read-only|not assignable|const-qualified
#include <mat/core/tensor_view.hpp>

#if defined(MAT_MUST_NOT_COMPILE)
using View = mat::ConstMatrixView<float>;
#else
using View = mat::MatrixView<float>;
#endif

void clear(View x) { x(0, 0) = 0.0f; }
